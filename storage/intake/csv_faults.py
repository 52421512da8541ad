"""Finds out why a CSV could not be read: which line, which column, which text, or that a column is only wider.

Slow on purpose and used only after Arrow has refused a file: first every value is tried against its column's type,
then, if the rows themselves are broken, Python's own reader goes through the file line by line.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from runtime.text import printable
from storage.columns.conversion import keep_as_text
from storage.errors import BadRow, InfiniteNumber
from storage.intake.csv_words import FALSE_WORDS, TRUE_WORDS, USUAL_NULLS, fits, misfit_hint, noun, values_of, wider

MAX_FIELD_BYTES = 131_072  # what Python's reader, which names the line of a fault, takes without a word
ENCODING_HINT = "Give its encoding, for example --encoding latin-1, gbk or utf-16, or save the file as UTF-8."
SHOWN_CHARS = 40
_LINE_BREAK = "\r\n"
_LONG_FIELD = f"a field of more than {MAX_FIELD_BYTES} bytes"
_LONG_FIELD_HINT = "Shorten it, or leave the column out: --drop. A double quote may be opened there and never closed."


@dataclass(frozen=True)
class CsvShape:
    """What is needed to read the file again, in one way or the other.

    Attributes:
        name: The file's name.
        open: Opens it, decompressed, at its start.
        columns: Names from the header, or given.
        delimiter: Between fields.
        block_bytes: How much is parsed at once.
        kept: Names of the columns that are read.
        nulls: Texts that the user says mean a missing value, beside an empty field; none: the usual ones.
        decimal: The decimal sign of numbers.
        header: Whether the first row holds the names.
    """

    name: str
    open: Callable[[], pa.NativeFile]
    columns: tuple[str, ...]
    delimiter: str
    block_bytes: int
    kept: tuple[str, ...]
    nulls: tuple[str, ...] = ()
    decimal: str = "."
    header: bool = True

    @property
    def null_values(self) -> list[str]:
        """Every text that means a missing value."""
        return ["", *self.nulls] if self.nulls else sorted(USUAL_NULLS)

    def read(self, types: Mapping[str, pa.DataType]) -> Generator[pa.RecordBatch, None, None]:
        """The rows in blocks, as Arrow parses them; without types it guesses them. Raises pa.ArrowInvalid."""
        words = {"true_values": TRUE_WORDS, "false_values": FALSE_WORDS} if types else {}  # a guess takes fewer
        convert = arrow_csv.ConvertOptions(
            column_types=dict(types),
            include_columns=list(self.kept),
            null_values=self.null_values,
            strings_can_be_null=bool(self.nulls),
            decimal_point=self.decimal,
            **words,
        )
        names = None if self.header else list(self.columns)
        with (
            self.open() as file,
            arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(use_threads=False, block_size=self.block_bytes, column_names=names),
                arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert,
            ) as reader,
        ):
            yield from reader


def diagnose(shape: CsvShape, types: Mapping[str, pa.DataType], fixed: frozenset[str]) -> dict[str, pa.DataType]:
    """The types that every row of the file fits; `fixed` ones are not widened. Raises BadRow."""
    types_found = dict(types)
    rows = 0
    try:
        with closing(shape.read(dict.fromkeys(shape.kept, pa.string()))) as batches:
            for batch in batches:
                refuse_long_fields(shape, batch, rows)
                for i, name in enumerate(shape.kept):
                    values = values_of(batch.column(i), shape.null_values)
                    types_found[name] = _type_that_fits(shape, name, values, types_found[name], (rows, fixed))
                rows += batch.num_rows
    except (pa.ArrowInvalid, OSError):
        _find_broken_row(shape)
        raise
    return types_found


def refuse_long_fields(shape: CsvShape, batch: pa.RecordBatch, first_row: int) -> None:
    """Raise BadRow for a text of more than MAX_FIELD_BYTES in the batch, whose first row is `first_row` of the data."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type) or column.nbytes <= MAX_FIELD_BYTES:
            continue
        bad = pc.index(pc.greater(pc.binary_length(column), MAX_FIELD_BYTES), True).as_py()
        if bad >= 0:
            line = line_of_row(shape, first_row + bad)
            raise BadRow(shape.name, line, name, column[bad].as_py(), _LONG_FIELD, hint=_LONG_FIELD_HINT)


def refuse_infinite(shape: CsvShape, name: str, column: pa.Array, first_row: int) -> None:
    """Raise InfiniteNumber, with the text as it stands, for a number of the column that no float holds."""
    bad = pc.index(pc.is_inf(column), True).as_py()
    if bad < 0:
        return
    line, fields = _locate(shape, first_row + bad)
    text = fields[shape.columns.index(name)].strip()[:SHOWN_CHARS]
    as_text = f"keep the column as text: {keep_as_text(name)}."
    if any(letter.isdigit() for letter in text):
        what, hint = "too large for a number", f"Correct it or leave it empty where the file is made, or {as_text}"
    else:
        what = "no finite number"
        hint = "Correct it or leave it empty where the file is made, say that it stands for a missing value, "
        hint += f"{shlex.quote(f'--null={text}')}, or {as_text}"
    raise InfiniteNumber(
        f"Column '{name}' has {printable(text)} in line {line} of {shape.name}, which is {what}. Nothing was stored.",
        hint=hint,
    )


def _type_that_fits(
    shape: CsvShape, name: str, values: pa.Array, kind: pa.DataType, at: tuple[int, frozenset[str]]
) -> pa.DataType:
    first_row, fixed = at
    while (bad := _first_misfit(values, kind, shape.decimal)) is not None:
        text = values[bad].as_py()
        larger = None if name in fixed else wider(kind, text, shape.decimal)
        if larger is None:
            line, fields = _locate(shape, first_row + bad)
            found = fields[shape.columns.index(name)] if len(fields) == len(shape.columns) else text
            hint = misfit_hint(name, kind, found, shape.nulls, shape.decimal)
            raise BadRow(shape.name, line, name, found, f"not {noun(kind)}", hint=hint)
        kind = larger
    return kind


def _first_misfit(values: pa.Array, kind: pa.DataType, decimal: str) -> int | None:
    """Index of the first value that the type does not hold, by halving; None if all fit."""
    if fits(values, kind, decimal):
        return None
    first, size = 0, len(values)
    while size > 1:
        half = size // 2
        if fits(values.slice(first, half), kind, decimal):
            first, size = first + half, size - half
        else:
            size = half
    return first


def lines_of_rows(shape: CsvShape, rows: set[int]) -> dict[int, int]:
    """For each of the data rows, the first being 0, the line on which it begins; the file has them all."""
    wanted, found = {row + shape.header: row for row in rows}, dict[int, int]()
    if wanted:
        with shape.open() as file:
            for seen, (line, _) in enumerate(islice(numbered_rows(shape, file), max(wanted) + 1)):
                if seen in wanted:
                    found[wanted[seen]] = line
    return found


def line_of_row(shape: CsvShape, row: int) -> int:
    """The line on which a data row begins, the first row being 0. Raises BadRow for one before it without an end."""
    before, seen = row + shape.header, 0
    with shape.open() as file:
        try:
            for line, _ in numbered_rows(shape, file):
                if seen == before:
                    return line
                seen += 1
        except BadRow as error:
            if seen != before:
                raise
            return error.line
    return before + 1


def _locate(shape: CsvShape, row: int) -> tuple[int, list[str]]:
    """Line on which a data row begins, and its fields."""
    with shape.open() as file:
        return next(islice(numbered_rows(shape, file), row + shape.header, None))


def _find_broken_row(shape: CsvShape) -> None:
    """Raise BadRow for the first row that is not UTF-8, has too few or too many fields, is too long, or never ends."""
    with shape.open() as file:
        for line, fields in numbered_rows(shape, file):
            _check_fields(shape, line, fields)
            if sum(map(len, fields)) > shape.block_bytes:
                raise _too_long(shape, line, fields[0])


def _too_long(shape: CsvShape, line: int, start: str) -> BadRow:
    shown = start[:MAX_FIELD_BYTES].encode(errors="surrogateescape").decode(errors="replace")
    problem = f"a row of more than {shape.block_bytes} bytes"
    hint = "Leave long texts out of the file. A double quote may be opened there and never closed."
    return BadRow(shape.name, line, None, shown, problem, hint=hint)


def _check_fields(shape: CsvShape, line: int, fields: list[str]) -> None:
    for i, text in enumerate(fields):
        if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
            column = shape.columns[i] if i < len(shape.columns) else None
            shown = text.encode(errors="surrogateescape").decode(errors="replace")
            raise BadRow(shape.name, line, column, shown, "not UTF-8 text", hint=ENCODING_HINT)
    if len(fields) != len(shape.columns):
        raise BadRow(
            shape.name,
            line,
            None,
            shape.delimiter.join(fields),
            f"{len(fields)} fields where the {'header' if shape.header else 'first line'} has {len(shape.columns)}",
            hint="A field that holds the delimiter or a line break must be in double quotes. If another sign stands "
            "between the fields, give it: --delimiter ';', or tab.",
        )


def numbered_rows(shape: CsvShape, file: pa.NativeFile, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number of the line on which each row begins, the header's first, and the row's fields. Raises BadRow.

    No more of a row than may be in a block is read before it is refused, nor split into fields.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    most = shape.block_bytes + len(_LINE_BREAK)
    beginning, line, letters = "", 1, 0

    def physical() -> Iterator[str]:
        nonlocal beginning, letters
        while letters <= most and (part := text.readline(most + 1)):
            beginning, letters = beginning or part, letters + len(part)
            yield part

    reader = csv.reader(physical(), delimiter=shape.delimiter, strict=strict)
    try:
        for fields in reader:
            if letters > most:
                raise _too_long(shape, line, beginning)
            if fields:
                yield line, fields
            line, beginning, letters = reader.line_num + 1, "", 0
    except csv.Error as error:
        shown = beginning.rstrip("\r\n").encode(errors="surrogateescape").decode(errors="replace")
        problem, hint = f"a row that cannot be read ({error})", "A double quote may be opened there and never closed."
        if "limit" in str(error):
            problem, hint = _LONG_FIELD, _LONG_FIELD_HINT
        raise BadRow(shape.name, line, None, shown, problem, hint=hint) from error
    finally:
        text.detach()
