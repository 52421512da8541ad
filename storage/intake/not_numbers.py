"""What to tell of columns that are no numbers: a training that finds one among its features refuses the table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from runtime.text import printable
from storage.columns.conversion import shortened
from storage.intake.csv_words import null_options, number_pattern, values_of, without_thousands
from storage.intake.source_options import SourceOptions

_SHOWN_CHARS = 40


class NoNumber(NamedTuple):
    """The first value of a column that is no number: its row, the first being 0, its text, and what stands beside it.

    `numbers` of the first `values` of the column are numbers.
    """

    row: int
    text: str
    numbers: int
    values: int


def first_no_number(texts: pa.Array, nulls: Sequence[str], decimal: str) -> NoNumber | None:
    """The first of the texts that is neither a number nor a missing value."""
    values = values_of(texts, nulls)
    is_number = pc.match_substring_regex(values, number_pattern(decimal))
    row = pc.index(is_number, False).as_py()
    if row < 0:
        return None
    return NoNumber(row, texts[row].as_py(), is_number.true_count, len(values) - values.null_count)


def without_numbers(schema: pa.Schema, options: SourceOptions) -> dict[str, str]:
    """What each column holds that is no number, plays no role, and has no type that the user gave it."""
    expected = {*options.roles.columns.values(), *options.column_types}
    found = {field.name: _held(field.type) for field in schema if field.name not in expected}
    return {name: held for name, held in found.items() if held}


def number_remarks(
    found: Mapping[str, str], first: Mapping[str, tuple[NoNumber, str]], nulls: Sequence[str] = (), decimal: str = "."
) -> list[str]:
    """What to tell of columns by what they hold; `first` has the value of some that is no number, and its place."""
    said = [
        _remark(name, held, *_reason(*first[name], nulls, decimal) if name in first else ("", ""))
        for name, held in found.items()
    ]
    return shortened(said, "are no numbers either")


def _remark(name: str, held: str, why: str, first_try: str) -> str:
    drop, other = shlex.quote(f"--drop={name}"), "or write numbers in it where the file is made."
    leave = f"{first_try}, or leave it out: {drop}." if first_try else f"Leave it out, {drop}, {other}"
    return f"No training takes column '{name}': it was stored as {held}{why}. {leave}"


def _reason(first: NoNumber, where: str, nulls: Sequence[str], decimal: str) -> tuple[str, str]:
    """Why a column is no column of numbers, and what makes it one, where its first value that is none shows it."""
    shown = printable(first.text[:_SHOWN_CHARS])
    why = f", because of '{shown}' in {where}"
    if first.numbers:
        why += f" ({first.numbers} of its first {first.values} values are numbers)"
    if missing := null_options(first.text, nulls):
        return why, f"If '{shown}' stands for a missing value, upload the file again with {missing}"
    if plain := without_thousands(first.text, decimal):
        return why, f"Write numbers without signs between thousands, as {plain}, where the file is made"
    return why, ""


def _held(kind: pa.DataType) -> str:
    if pa.types.is_date(kind):
        return "dates"
    if pa.types.is_timestamp(kind):
        return "times"
    if pa.types.is_string(kind):
        return "text"
    return "bytes" if pa.types.is_binary(kind) else ""
