"""What the types of a CSV's columns take from its texts: digits of long numbers, and leading zeros.

Numbers are parsed without their texts. Cheap signs, taken from the parsed blocks and from the bytes on their way to
the parser, say whether the file has to be read once more, and for which columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.columns.conversion import EXACT_BELOW, Loss, first_rounded, rounding_remarks, zeros_remarks
from storage.intake.csv_faults import CsvShape, lines_of_rows
from storage.intake.csv_words import values_of

_LEADING_ZERO = r"^[+-]?0\d"
_ZERO, _NINE = ord("0"), ord("9")
_INSIDE = np.isin(np.arange(256), list(b"0123456789.+-eE"))  # what stands before a zero within a number, as in 1e-05
_Found = dict[str, Loss]


class ZeroSign:
    """Whether a zero begins a field and a digit follows it, anywhere in the bytes that passed."""

    def __init__(self) -> None:
        self.seen = False
        self._before = b"\n"

    def look(self, data: bytes) -> None:
        """The next bytes."""
        if self.seen or not data:
            return
        letters = np.frombuffer(self._before + data, np.uint8)
        zeros = np.flatnonzero(letters[1:-1] == _ZERO) + 1
        before, after = letters[zeros - 1], letters[zeros + 1]
        self.seen = bool(np.any(~_INSIDE[before] & (after >= _ZERO) & (after <= _NINE)))
        self._before = letters[-2:].tobytes()


def large_columns(batch: pa.RecordBatch) -> list[str]:
    """The columns of floats in which a number is so large that whole numbers next to it are rounded."""
    floats = [(name, c) for name, c in zip(batch.schema.names, batch.columns, strict=True) if c.type == pa.float64()]
    ends = [(name, *pc.min_max(column).as_py().values()) for name, column in floats]
    return [name for name, least, most in ends if least is not None and max(-least, most) >= EXACT_BELOW]


def losses(shape: CsvShape, large: set[str], numbers: set[str]) -> list[str]:
    """What to tell of the `large` columns that were rounded, and of `numbers` whose leading zeros were dropped."""
    rounded, zeros, rows = _Found(), _Found(), 0
    looked = [name for name in shape.kept if name in large or name in numbers]
    if not looked:
        return []
    narrow = replace(shape, kept=tuple(looked))
    with closing(narrow.read(dict.fromkeys(looked, pa.string()))) as batches:
        for batch in batches:
            for name in looked:
                texts = values_of(batch.column(name), shape.null_values)
                if name in large and name not in rounded:
                    _note(rounded, name, rows, _first_rounded(texts, shape.decimal))
                if name in numbers and name not in zeros:
                    _note(zeros, name, rows, _first_zero(texts))
            rows += batch.num_rows
            if len(rounded) == len(large) and len(zeros) == len(numbers):
                break
    lines = lines_of_rows(shape, {loss.row for loss in (*rounded.values(), *zeros.values())})
    return rounding_remarks(_placed(rounded, lines)) + zeros_remarks(_placed(zeros, lines))


def _note(found: _Found, name: str, rows_before: int, loss: Loss | None) -> None:
    if loss is not None:
        found[name] = Loss(rows_before + loss.row, loss.text)


def _placed(found: _Found, lines: Mapping[int, int]) -> dict[str, tuple[str, str]]:
    return {name: (loss.text, f"line {lines[loss.row]}") for name, loss in found.items()}


def _first_rounded(texts: pa.Array, decimal: str) -> Loss | None:
    plain = texts if decimal == "." else pc.replace_substring(texts, decimal, ".")
    found = first_rounded(plain, plain.cast(pa.float64()))
    return Loss(found.row, texts[found.row].as_py()) if found is not None else None


def _first_zero(texts: pa.Array) -> Loss | None:
    row = pc.index(pc.fill_null(pc.match_substring_regex(texts, _LEADING_ZERO), False), True).as_py()
    return Loss(row, texts[row].as_py()) if row >= 0 else None
