"""Whether the ids of a table are all different, found in eight bytes a row.

Every id is reduced to 64 bits; only ids whose 64 bits meet are compared in full. A null is no id.

Source: multilinear hashing, Lemire and Kaser 2014, "Strongly universal string hashing is fast", section 2.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.errors import DuplicateIds

Words = NDArray[np.uint64]
_NO_ID = "Give every row an id, or upload without an id column."


def numbered_row(row: int) -> str:
    """Where a row stands, the first being 0, as people count."""
    return f"row {row + 1}"


class IdCheck:
    """Collects the ids of one column and says whether two are equal; `row_name` says where a row stands, for people."""

    def __init__(self, kind: pa.DataType, row_name: Callable[[int], str] = numbered_row) -> None:
        self._is_number = pa.types.is_integer(kind)
        self._row_name = row_name
        self._rows = 0
        self._seen = array("Q")
        self._weights: Words = np.zeros(0, np.uint64)

    def add(self, ids: pa.Array) -> None:
        """Add the next rows' ids. Raises DuplicateIds for a null."""
        if ids.null_count:
            raise self._without_id(pc.index(pc.is_null(ids), True).as_py())
        if not self._is_number:
            empty = pc.index(pc.binary_length(ids), pa.scalar(0, pa.int32())).as_py()
            if empty >= 0:
                raise self._without_id(empty)
        words = np.asarray(ids.to_numpy(), np.int64).view(np.uint64) if self._is_number else self._hash(ids)
        self._seen.frombytes(words.tobytes())
        self._rows += len(ids)

    def check(self, column: str, stored: Callable[[], Iterable[pa.Array]]) -> None:
        """Raise DuplicateIds naming an id and two of its rows; `stored` gives the ids again if any are suspect."""
        words = np.frombuffer(self._seen, np.uint64) if self._rows else np.zeros(0, np.uint64)
        ordered = np.sort(words)
        suspects = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not suspects.size:
            return
        rows_of: dict[Any, int] = {}
        first = 0
        for ids in stored():
            for i in np.flatnonzero(np.isin(words[first : first + len(ids)], suspects)):
                name, row = ids[int(i)].as_py(), first + int(i)
                if name in rows_of:
                    here, there = self._row_name(row), self._row_name(rows_of[name])
                    raise DuplicateIds(
                        f"{there[:1].upper()}{there[1:]} and {here} both have the id {name!r} in column '{column}'.",
                        hint="Ids must be unique; remove one of the rows.",
                    )
                rows_of[name] = row
            first += len(ids)

    def _without_id(self, row: int) -> DuplicateIds:
        where = self._row_name(self._rows + row)
        return DuplicateIds(f"{where[:1].upper()}{where[1:]} has no id.", hint=_NO_ID)

    def _hash(self, ids: pa.Array) -> Words:
        """64 bits of each text: the sum of its bytes plus one, each times the random odd weight of its position."""
        ends = np.frombuffer(ids.buffers()[1], np.int32, len(ids) + 1, ids.offset * 4).astype(np.int64)
        lengths = np.diff(ends)
        size = int(ends[-1] - ends[0])
        hashes = np.zeros(len(ids), np.uint64)
        if not size:
            return hashes
        letters = np.frombuffer(ids.buffers()[2], np.uint8, size, int(ends[0])).astype(np.uint64) + np.uint64(1)
        filled = np.flatnonzero(lengths)
        starts = (ends[:-1] - ends[0])[filled]
        positions = np.arange(size) - np.repeat(starts, lengths[filled])
        letters *= self._weights_for(int(lengths.max()))[positions]
        hashes[filled] = np.add.reduceat(letters, starts)
        return hashes

    def _weights_for(self, longest: int) -> Words:
        missing = longest - self._weights.size
        if missing > 0:
            drawn = np.frombuffer(secrets.token_bytes(8 * missing), np.uint64) | np.uint64(1)
            self._weights = np.concatenate([self._weights, drawn])
        return self._weights
