"""Rows of a table as text: names and values as they are, columns that do not fit beside each other below each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

GAP = 2
MOST_CHARS = 60  # of one cell on a terminal
_ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def row_lines(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int | None) -> Iterator[str]:
    """The rows under their columns' names, numbers to the right.

    Args:
        columns: Names of the columns.
        rows: JSON values; null stands for a value that is missing.
        width: Characters of a line of the terminal; None writes every column and cell whole.
    """
    shown = [_column(name, [row[i] for row in rows], width) for i, name in enumerate(columns)]
    for number, block in enumerate(_blocks(shown, width)):
        if number:
            yield ""
        for cells in zip(*block, strict=True):
            yield (" " * GAP).join(cells).rstrip()


def _column(name: str, values: Sequence[object], width: int | None) -> list[str]:
    """The name and the values, all equally wide."""
    most = None if width is None else min(MOST_CHARS, width)
    cells = [_cut(text, most) for text in (name.translate(_ESCAPES), *map(_cell, values))]
    widest = max(map(len, cells))
    numbers = all(isinstance(value, int | float | None) for value in values)
    return [cell.rjust(widest) if numbers else cell.ljust(widest) for cell in cells]


def _blocks(columns: Sequence[list[str]], width: int | None) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    used = 0
    for column in columns:
        wide = len(column[0]) + (GAP if block else 0)
        if block and width is not None and used + wide > width:
            yield block
            block, used, wide = [], 0, len(column[0])
        block.append(column)
        used += wide
    if block:
        yield block


def _cell(value: object) -> str:
    return value.translate(_ESCAPES) if isinstance(value, str) else json.dumps(value)


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else text[: most - 1] + "…"
