"""Finds out why a CSV could not be read: which line, which column, which text, or that a column is only wider.

Slow on purpose and used only after Arrow has refused a file: first every value is tried against its column's type,
then, if the rows themselves are broken, Python's own reader goes through the file line by line.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from storage.errors import BadRow

MAX_FIELD_BYTES = 131_072  # what Python's reader, which names the line of a fault, takes without a word
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
NUMBER_PATTERN = re.compile(NUMBER)
ENCODING_HINT = "Give its encoding, for example --encoding latin-1, gbk or utf-16, or save the file as UTF-8."
_LONG_FIELD = f"a field of more than {MAX_FIELD_BYTES} bytes"
_LONG_FIELD_HINT = "Shorten it, or leave the column out: --drop. A double quote may be opened there and never closed."
_NULLS = frozenset(arrow_csv.ConvertOptions().null_values)
_NOUNS = {"int64": "a whole number", "double": "a number", "bool": "true or false", "date32[day]": "a date"}


@dataclass(frozen=True)
class CsvShape:
    """What is needed to read the file again, in one way or the other.

    Attributes:
        name: The file's name.
        open: Opens it, decompressed, at its start.
        columns: Names from the header.
        delimiter: Between fields.
        block_bytes: How much is parsed at once.
        kept: Names of the columns that are read.
        nulls: Texts that the user says mean a missing value, beside an empty field; none: the usual ones.
    """

    name: str
    open: Callable[[], pa.NativeFile]
    columns: tuple[str, ...]
    delimiter: str
    block_bytes: int
    kept: tuple[str, ...]
    nulls: tuple[str, ...] = ()

    @property
    def null_values(self) -> list[str]:
        """Every text that means a missing value."""
        return ["", *self.nulls] if self.nulls else sorted(_NULLS)

    def read(self, types: Mapping[str, pa.DataType]) -> Generator[pa.RecordBatch, None, None]:
        """The rows in blocks, as Arrow parses them. Raises pa.ArrowInvalid."""
        convert = arrow_csv.ConvertOptions(
            column_types=dict(types),
            include_columns=list(self.kept),
            null_values=self.null_values,
            strings_can_be_null=bool(self.nulls),
        )
        with (
            self.open() as file,
            arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(use_threads=False, block_size=self.block_bytes),
                arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert,
            ) as reader,
        ):
            yield from reader


def diagnose(shape: CsvShape, types: Mapping[str, pa.DataType], fixed: frozenset[str]) -> dict[str, pa.DataType]:
    """The types that every row of the file fits; `fixed` ones are not widened. Raises BadRow."""
    wider = dict(types)
    rows = 0
    try:
        with closing(shape.read(dict.fromkeys(shape.kept, pa.string()))) as batches:
            for batch in batches:
                refuse_long_fields(shape, batch, rows)
                for i, name in enumerate(shape.kept):
                    values = _values(batch.column(i), shape.null_values)
                    wider[name] = _type_that_fits(shape, name, values, wider[name], (rows, fixed))
                rows += batch.num_rows
    except (pa.ArrowInvalid, OSError):
        _find_broken_row(shape)
        raise
    return wider


def refuse_long_fields(shape: CsvShape, batch: pa.RecordBatch, first_row: int) -> None:
    """Raise BadRow for a text of more than MAX_FIELD_BYTES in the batch, whose first row is `first_row` of the data."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type) or column.nbytes <= MAX_FIELD_BYTES:
            continue
        bad = pc.index(pc.greater(pc.binary_length(column), MAX_FIELD_BYTES), True).as_py()
        if bad >= 0:
            line = line_of_row(shape, first_row + bad)
            raise BadRow(shape.name, line, name, column[bad].as_py(), _LONG_FIELD, hint=_LONG_FIELD_HINT)


def _values(column: pa.Array, nulls: list[str]) -> pa.Array:
    """The texts, trimmed, with the spellings of a missing value as null."""
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(trimmed, pa.array(nulls, pa.string())), pa.scalar(None, pa.string()), trimmed)


def _type_that_fits(
    shape: CsvShape, name: str, values: pa.Array, kind: pa.DataType, at: tuple[int, frozenset[str]]
) -> pa.DataType:
    first_row, fixed = at
    while (bad := _first_misfit(values, kind)) is not None:
        text = values[bad].as_py()
        wider = None if name in fixed else _wider(kind, text)
        if wider is None:
            line, fields = _locate(shape, first_row + bad)
            raise BadRow(
                shape.name,
                line,
                name,
                fields[shape.columns.index(name)] if len(fields) == len(shape.columns) else text,
                f"not {_NOUNS.get(str(kind), str(kind))}",
                hint=f"Leave missing values empty, or name what stands for one: --null {shlex.quote(str(text)[:20])}. "
                f"If the column is meant as text, give its type: --type {shlex.quote(f'{name}=text')}.",
            )
        kind = wider
    return kind


def _first_misfit(values: pa.Array, kind: pa.DataType) -> int | None:
    """Index of the first value that the type does not hold, by halving; None if all fit."""
    if _fits(values, kind):
        return None
    first, size = 0, len(values)
    while size > 1:
        half = size // 2
        if _fits(values.slice(first, half), kind):
            first, size = first + half, size - half
        else:
            size = half
    return first


def _fits(values: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return bool(values.null_count == len(values))
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _wider(kind: pa.DataType, text: str) -> pa.DataType | None:
    """The next type up that holds the text too, None if there is none short of text."""
    ladder: tuple[pa.DataType, ...] = ()
    if pa.types.is_null(kind):
        ladder = (pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.string())
    elif pa.types.is_int64(kind):
        ladder = (pa.float64(),)
    elif pa.types.is_date(kind):
        ladder = (pa.timestamp("us"),)
    value = pa.array([text])
    return next((wider for wider in ladder if _fits(value, wider)), None)


def line_of_row(shape: CsvShape, row: int) -> int:
    """The line on which a data row begins, the first row being 0. Raises BadRow for one before it without an end."""
    rows = 0
    with shape.open() as file:
        try:
            for line, _ in _lines(shape, file):
                if rows == row + 1:
                    return line
                rows += 1
        except BadRow as error:
            if rows != row + 1:
                raise
            return error.line
    return row + 2


def _locate(shape: CsvShape, row: int) -> tuple[int, list[str]]:
    """Line on which a data row begins, and its fields."""
    with shape.open() as file:
        return next(islice(_lines(shape, file), row + 1, None))


def _find_broken_row(shape: CsvShape) -> None:
    """Raise BadRow for the first row that is not UTF-8, has too few or too many fields, is too long, or never ends."""
    with shape.open() as file:
        for line, fields in _lines(shape, file):
            _check_fields(shape, line, fields)
            if sum(map(len, fields)) > shape.block_bytes:
                problem = f"a row of more than {shape.block_bytes} bytes"
                raise BadRow(shape.name, line, None, fields[0], problem, hint="Leave long texts out of the file.")


def check_quotes(shape: CsvShape) -> None:
    """Raise BadRow if a quote is opened and never closed."""
    with shape.open() as file:
        for _ in _lines(shape, file, strict=True):
            pass


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
            f"{len(fields)} fields where the header has {len(shape.columns)}",
            hint="A field that holds the delimiter or a line break must be in double quotes. If another sign stands "
            "between the fields, give it: --delimiter ';', or tab.",
        )


def _lines(shape: CsvShape, file: pa.NativeFile, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number of the line on which each row begins, the header's first, and the row's fields. Raises BadRow."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    beginning = ""

    def physical() -> Iterator[str]:
        nonlocal beginning
        for part in text:
            beginning = beginning or part
            yield part

    line = 1
    reader = csv.reader(physical(), delimiter=shape.delimiter, strict=strict)
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line, beginning = reader.line_num + 1, ""
    except csv.Error as error:
        shown = beginning.rstrip("\r\n").encode(errors="surrogateescape").decode(errors="replace")
        problem, hint = f"a row that cannot be read ({error})", "A double quote may be opened there and never closed."
        if "limit" in str(error):
            problem, hint = _LONG_FIELD, _LONG_FIELD_HINT
        raise BadRow(shape.name, line, None, shown, problem, hint=hint) from error
    finally:
        text.detach()
