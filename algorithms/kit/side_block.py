"""Whole numbers at the end of a vector that is added up: each is cut into limbs that fit where the vector's values do.

Limbs are added like values; the numbers of the sum follow from the sums of their limbs, exactly. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import ValueOutgrewLayout

Integers: TypeAlias = NDArray[np.int64]
FLOAT_LIMB_BITS = 12  # single precision adds the limbs of 4,096 trainers without an error


@dataclass(frozen=True)
class Word:
    """A whole number of magnitude below 2^bits."""

    value: int
    bits: int


@dataclass(frozen=True)
class SideBlock:
    """How words are cut.

    Attributes:
        widths: The bits of each word.
        limb_bits: Every limb's magnitude is below 2^limb_bits.
    """

    widths: tuple[int, ...]
    limb_bits: int

    @property
    def count(self) -> int:
        """How many limbs there are."""
        return sum(self._counts())

    def limbs(self, words: Sequence[int]) -> Integers:
        """The limbs of each word, the lowest first; the highest one carries the sign. Raises ValueOutgrewLayout."""
        found: list[int] = []
        for value, bits, count in zip(words, self.widths, self._counts(), strict=True):
            if abs(value) >> bits:
                raise ValueOutgrewLayout(f"A number of {abs(value).bit_length()} bits does not fit into {bits}.")
            lower = self.limb_bits * (count - 1)
            found += [(value >> at) & ((1 << self.limb_bits) - 1) for at in range(0, lower, self.limb_bits)]
            found.append(value >> lower)
        return np.array(found, dtype=np.int64)

    def words(self, limbs: Integers) -> tuple[int, ...]:
        """The words of limbs, or of sums of limbs."""
        rest = iter(limbs.tolist())
        return tuple(sum(next(rest) << (self.limb_bits * place) for place in range(count)) for count in self._counts())

    def _counts(self) -> list[int]:
        return [-(-bits // self.limb_bits) for bits in self.widths]
