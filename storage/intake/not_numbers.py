"""What to tell of columns that are no numbers: a training that finds one among its features refuses the table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pyarrow as pa

from runtime.text import printable
from storage.columns.conversion import shortened
from storage.intake.source_options import SourceOptions

_SHOWN_CHARS = 40


def without_numbers(schema: pa.Schema, options: SourceOptions) -> dict[str, str]:
    """What each column holds that is no number, plays no role, and has no type that the user gave it."""
    expected = {*options.roles.columns.values(), *options.column_types}
    found = {field.name: _held(field.type) for field in schema if field.name not in expected}
    return {name: held for name, held in found.items() if held}


def number_remarks(found: Mapping[str, str], first: Mapping[str, tuple[str, str]]) -> list[str]:
    """What to tell of columns by what they hold; `first` has the text of some that is no number, and its place."""
    return shortened([_remark(name, held, first.get(name)) for name, held in found.items()], "are no numbers either")


def _remark(name: str, held: str, first: tuple[str, str] | None) -> str:
    why = f", because of '{printable(first[0][:_SHOWN_CHARS])}' in {first[1]}" if first else ""
    return (
        f"No training takes column '{name}': it was stored as {held}{why}. "
        f"Leave it out, {shlex.quote(f'--drop={name}')}, or write numbers in it where the file is made."
    )


def _held(kind: pa.DataType) -> str:
    if pa.types.is_date(kind):
        return "dates"
    if pa.types.is_timestamp(kind):
        return "times"
    if pa.types.is_string(kind):
        return "text"
    return "bytes" if pa.types.is_binary(kind) else ""
