"""Arrays by name as one long vector, read piece by piece without joining them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from algorithms.api.errors import ParametersDiffer

MOST_VALUES = 1 << 15  # so that what is computed from a piece stays small
Numbers: TypeAlias = NDArray[Any]
Vectors: TypeAlias = Mapping[str, Numbers]
Weights: TypeAlias = dict[str, Numbers]  # of a model: float64, or float32 for a network


@dataclass(frozen=True)
class Piece:
    """A stretch of the long vector within one array.

    Attributes:
        name: The array's name.
        start: Index of the first value within the array, flattened.
        at: Index of the first value within the long vector.
        values: A view of the array's values, one-dimensional.
        weight: What they are multiplied with.
    """

    name: str
    start: int
    at: int
    values: Numbers
    weight: float = 1.0

    def weighted(self, dtype: DTypeLike = np.float64) -> Numbers:
        """The values times the weight, computed in that type whatever they come in."""
        found: Numbers = np.multiply(self.weight, self.values, dtype=dtype)
        return found


def require_form(vector: Numbers, length: int, dtype: DTypeLike, sender: str) -> None:
    """Raises ParametersDiffer unless what was sent is one-dimensional, of that length and type."""
    if vector.ndim != 1 or len(vector) != length or vector.dtype != dtype:
        raise ParametersDiffer(
            f"{sender} sent {vector.dtype} numbers of shape {vector.shape}, {length} {np.dtype(dtype)} were expected."
        )


def cut(count: int, size: int) -> list[tuple[int, int]]:
    """Where a vector of `count` values is cut into parts of `size`; the last one is not full and may be empty."""
    return [(start, min(start + size, count)) for start in range(0, count + 1, size)]


class NamedVectors:
    """Arrays in the order of their mapping, one after the other, each value with the same weight.

    Attributes:
        count: How many values there are.
        dtype: float32 if all arrays are, as those of a network, else float64.
    """

    def __init__(self, vectors: Vectors, weight: float = 1.0) -> None:
        self._weight = weight
        self._shapes = {name: np.shape(array) for name, array in vectors.items()}
        self._flat = {name: np.asarray(array).reshape(-1) for name, array in vectors.items()}
        self.count = sum(len(array) for array in self._flat.values())
        is_single = {array.dtype for array in self._flat.values()} == {np.dtype(np.float32)}
        self.dtype = np.dtype(np.float32 if is_single else np.float64)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """What lies between two places of the long vector, array by array, at most `MOST_VALUES` at a time."""
        begins = 0
        for name, array in self._flat.items():
            first, last = max(start - begins, 0), min(stop - begins, len(array))
            for at in range(first, last, MOST_VALUES):
                yield Piece(name, at, begins + at, array[at : min(at + MOST_VALUES, last)], self._weight)
            begins += len(array)

    def shaped(self, whole: Numbers) -> Weights:
        """A long vector as arrays of the same names and shapes; views of it."""
        ends = accumulate(len(array) for array in self._flat.values())
        return {
            name: whole[end - len(self._flat[name]) : end].reshape(shape)
            for (name, shape), end in zip(self._shapes.items(), ends, strict=True)
        }
