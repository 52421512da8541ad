"""Double quotes that are opened and not closed where their cell ends: the lines that follow are swallowed by it.

A parser sees nothing wrong where a later quote closes the cell. Cells of several lines are legitimate; one whose
lines are all like rows of the table, the first with what stands before the cell and the last with what stands after
it, is not taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from storage.errors import BadRow
from storage.intake.csv_faults import CsvShape, numbered_rows
from storage.intake.csv_words import number_pattern

MANY_LINES = 50  # of one cell: more are told


@dataclass(frozen=True)
class LongCell:
    """A cell of several lines: on which line its quote is opened, how it begins, and what stands on each line."""

    line: int
    column: str
    text: str
    lines: list[list[str]]


def check_quotes(shape: CsvShape) -> None:
    """Raise BadRow if a quote is opened and never closed."""
    with shape.open() as file:
        for _ in numbered_rows(shape, file, strict=True):
            pass


def check_cells(shape: CsvShape, numbers: Collection[str]) -> list[str]:
    """Raise BadRow for a cell that swallowed rows, `numbers` being columns of numbers; what to tell of other long ones.

    In a file of one column every line is like a row.
    """
    places = {shape.columns.index(name) for name in numbers}
    number = re.compile(number_pattern(shape.decimal))
    said: list[str] = []
    for cell in _long_cells(shape):
        like_rows = all(
            len(row) == len(shape.columns) and all(number.match(row[i]) or not row[i].strip() for i in places)
            for row in cell.lines
        )
        more = len(cell.lines) - 1
        many = "1 line" if more == 1 else f"{more} lines"
        like_rows = like_rows and len(shape.columns) > 1
        if like_rows and places:
            problem = f"a double quote is opened here, and its cell takes in {many} more, which are like rows"
            hint = "Close the quote on its line, or take it out: a quote within a quoted field is written twice."
            raise BadRow(shape.name, cell.line, cell.column, cell.text, problem, hint=hint)
        if (like_rows or more >= MANY_LINES) and not said:
            said.append(
                f"The cell of column '{cell.column}' that begins in line {cell.line} goes on for {many} more. If they "
                "are rows of their own, a double quote was left open there: close it, and upload again."
            )
    return said


def _long_cells(shape: CsvShape) -> Iterator[LongCell]:
    """The cells of several lines, as far as the file can be read line by line: nothing is wrong with the rest."""
    with shape.open() as file:
        try:
            for line, fields in numbered_rows(shape, file):
                for i, field in enumerate(fields):
                    if "\n" in field and len(fields) == len(shape.columns):
                        yield _long_cell(shape, line, fields, i)
        except BadRow:  # a field that is longer than Python's reader takes, in a column that is left out
            return


def _long_cell(shape: CsvShape, line: int, fields: list[str], i: int) -> LongCell:
    texts = [text.rstrip("\r") for text in fields[i].split("\n")]
    lines = [text.split(shape.delimiter) for text in texts]
    lines[0] = fields[:i] + lines[0]
    lines[-1] += fields[i + 1 :]
    opened = line + sum(field.count("\n") for field in fields[:i])
    return LongCell(opened, shape.columns[i], texts[0], lines)
