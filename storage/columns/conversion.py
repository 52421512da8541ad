"""Brings a column to the type that a table stores it in, and finds what that changes: nothing is lost in silence.

What cannot be kept is refused, but for digits of decimals and of texts that become floats, and for the name of a
zone: these are told.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from runtime.text import printable
from storage.errors import TableSchemaMismatch

EXACT_DIGITS = 15  # that a float keeps of any decimal number
EXACT_BELOW = 2**53  # whole numbers that a float keeps
_MANY_DIGITS = rf"(?:\d[.,]?){{{EXACT_DIGITS + 1}}}"
_CORRECT = "Correct the values where the file is made, or leave the column out: --drop."
_MOST_PLACES = 1100  # no float has more
_MOST_SHOWN, _SHOWN_CHARS = 10, 40


class Loss(NamedTuple):
    """The first value of a column that is not stored as it stood: its row, the first being 0, and its text."""

    row: int
    text: str


def stored_column(column: pa.ChunkedArray, field: pa.Field) -> tuple[pa.ChunkedArray, Loss | None]:
    """The column in the field's type, and the first number of it that was rounded.

    Raises:
        TableSchemaMismatch: A value does not fit the type.
    """
    if column.type == field.type:
        return column, None
    try:
        stored = _cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _misfit(column, field, str(error).splitlines()[0]) from error
    _refuse_changed(column, stored, field)
    return stored, _rounded(column, stored)


def first_rounded(texts: pa.Array, numbers: pa.Array) -> Loss | None:
    """The first text that is no way to write the finite float made of it, at its shortest or to as many places.

    `0.1` and `0.10000000000000001` are 0.1; `12345678901234567890` becomes 12345678901234567000.
    """
    many = pc.fill_null(pc.and_(pc.match_substring_regex(texts, _MANY_DIGITS), pc.is_finite(numbers)), False)
    for row in pc.indices_nonzero(many).to_pylist():
        text = texts[row].as_py()
        if not _is_same(text, numbers[row].as_py()):
            return Loss(row, text)
    return None


def keep_as_text(column: str) -> str:
    """The option that keeps a column as it stands."""
    return f"--type {shlex.quote(f'{column}=text')}"


def rounding_remarks(found: Mapping[str, tuple[str, str]]) -> list[str]:
    """What to tell of columns that were rounded: for each the first such text, and where it stands."""
    said = ("holds numbers of too many digits, which were rounded", "every digit")
    return shortened(_remarks(found, *said), "were rounded too")


def zeros_remarks(found: Mapping[str, tuple[str, str]]) -> list[str]:
    """What to tell of columns whose leading zeros were dropped, as `rounding_remarks`."""
    said = ("was stored as numbers, without the leading zeros of its values", "them")
    return shortened(_remarks(found, *said), "lost leading zeros too")


def _remarks(found: Mapping[str, tuple[str, str]], what: str, lost: str) -> list[str]:
    return [
        f"Column '{name}' {what}, first {printable(text[:_SHOWN_CHARS])} in {where}; "
        f"to keep {lost} give its type: {keep_as_text(name)}."
        for name, (text, where) in found.items()
    ]


def zone_remark(found: pa.Field, stored: pa.Field) -> str | None:
    """What to tell of a column of times whose zone is left out, else None."""
    kind = found.type
    if not pa.types.is_timestamp(kind) or kind.tz in (None, "UTC") or not pa.types.is_timestamp(stored.type):
        return None
    if stored.type.tz is not None:
        return None
    return f"Column '{found.name}' has times of the zone {printable(kind.tz[:60])}, which were stored as UTC."


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Decimals by way of their texts: Arrow itself makes 0.09999999999999999 of a decimal 0.1 with many places."""
    if pa.types.is_floating(kind) and pa.types.is_decimal(_plain_type(column)):
        return column.cast(_plain_type(column)).cast(pa.string()).cast(kind)
    return column.cast(kind)


def _plain_type(column: pa.ChunkedArray) -> pa.DataType:
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def shortened(sentences: list[str], what: str) -> list[str]:
    """The first remarks on columns, and how many more columns there are of which the same holds."""
    more = len(sentences) - _MOST_SHOWN
    return sentences[:_MOST_SHOWN] + ([f"{more} more columns {what}."] if more > 0 else [])


def _is_same(text: str, number: float) -> bool:
    try:
        said = Decimal(text)
        decimals = min(max(0, -int(said.as_tuple().exponent)), _MOST_PLACES)
        return said in (Decimal(repr(number)), Decimal(f"{number:.{decimals}f}"))
    except DecimalException:  # an exponent beyond all bounds, of what is 0 as a float
        return False


def _rounded(column: pa.ChunkedArray, stored: pa.ChunkedArray) -> Loss | None:
    kind = _plain_type(column)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    exact = pa.types.is_decimal(kind) and kind.precision <= EXACT_DIGITS and kind.scale >= 0
    if not pa.types.is_floating(stored.type) or exact or not (is_text or pa.types.is_decimal(kind)):
        return None
    texts = column.cast(kind).cast(pa.string())
    return first_rounded(pa.concat_arrays(texts.chunks), pa.concat_arrays(stored.chunks)) if len(texts) else None


def _refuse_changed(column: pa.ChunkedArray, stored: pa.ChunkedArray, field: pa.Field) -> None:
    """What Arrow casts without a word: numbers to true or false, times to dates."""
    kind = column.type
    if pa.types.is_boolean(field.type) and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        same, why = pc.equal(column, stored.cast(pa.int8()).cast(kind)), "it is neither 0 nor 1"
    elif pa.types.is_date(field.type) and pa.types.is_timestamp(kind):
        local = column if kind.tz is None else pc.local_timestamp(column)
        same, why = pc.equal(local, stored.cast(local.type)), "it has a time of the day"
    else:
        return
    first = pc.index(pc.fill_null(same, True), False).as_py()
    if first >= 0:
        raise _misfit(column, field, f"{column[first]} would lose data: {why}")


def _misfit(column: pa.ChunkedArray, field: pa.Field, problem: str) -> TableSchemaMismatch:
    try:
        column.cast(pa.string())
        hint = f"To keep the values as they stand give the column its type: {keep_as_text(field.name)}."
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        hint = _CORRECT
    fits = f"Column '{field.name}' does not fit {field.type}: {printable(problem)[:200]}."
    return TableSchemaMismatch(fits, hint="" if pa.types.is_string(field.type) and hint != _CORRECT else hint)
