"""A CSV file on its way into a table: what its columns are, and its rows in blocks of a fixed size.

Types are taken from the first block. A column in which at least half of the values are numbers is a column of
numbers, so that a slip of the keyboard is reported and does not turn it into text. Where a later block shows that a
column is wider than it looked (integers, then decimals), the file is read again from its start with the wider type.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from io import StringIO

import pyarrow as pa
import pyarrow.compute as pc

from storage.columns import check_column, check_names
from storage.csv_faults import NUMBER, CsvShape, check_quotes, diagnose
from storage.errors import BadRow, BadSource, EmptySource, did_you_mean
from storage.sources import RawFile, SourceOptions, reading_errors

BLOCK_BYTES = 2**20  # also the longest row; larger blocks stay in the allocators' caches
DELIMITERS = ",;\t|"
NAMED_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
_BYTE_ORDER_MARK = "\ufeff"


class CsvReading:
    """One CSV file, compressed or not."""

    def __init__(self, raw: RawFile, options: SourceOptions) -> None:
        self._raw = raw
        self._options = options
        header, delimiter = _header(raw, options.delimiter)
        check_names(header)
        for name in options.column_types:
            check_column(name, header, "whose type is given")
        self._named = {name: _named_type(text) for name, text in options.column_types.items()}
        self._tap: _Tap | None = None
        self._complete = False
        self._shape = CsvShape(raw.name, self._open, tuple(header), delimiter, BLOCK_BYTES, options.id_column)
        self._types = self._guess() | self._named

    def schema(self) -> pa.Schema:
        """The columns as they are known now."""
        return pa.schema([(name, self._types[name]) for name in self._shape.columns])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows. Raises BadRow; ends early, with wider types, where they proved too narrow."""
        schema = self.schema()
        rows = 0
        try:
            for batch in self._shape.read(self._read_types()):
                converted = self._with_ids(batch, schema)
                if converted is None:
                    return
                rows += batch.num_rows
                yield converted
        except (pa.ArrowInvalid, OSError) as error:
            self._widen(error)
            return
        if not rows:
            raise EmptySource(f"{self._raw.name} has a header but no rows. Nothing was stored.")
        if self._tap is not None and self._tap.quotes % 2:
            check_quotes(self._shape)
        self._complete = True

    def is_complete(self) -> bool:
        """Whether the last `batches` gave every row."""
        return self._complete

    def position(self) -> tuple[int, int]:
        """Bytes of the (compressed) file."""
        return self._tap.done if self._tap is not None else 0, self._raw.size

    def close(self) -> None:
        """Close the file, wherever reading stopped."""
        if self._tap is not None:
            self._tap.close()

    def _open(self) -> pa.NativeFile:
        self._tap = _Tap(self._raw)
        return pa.PythonFile(self._tap, mode="r")

    def _read_types(self) -> dict[str, pa.DataType]:
        """The types Arrow is to parse; whole-number ids are read as text first, see `_with_ids`."""
        own = self._options.id_column
        return {name: pa.string() if name == own else kind for name, kind in self._types.items()}

    def _with_ids(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch | None:
        """The batch with its id column in its type; None if an id such as `007` is not the integer it looks like."""
        own = self._options.id_column
        if own is None or self._types.get(own) != pa.int64():
            return batch
        place = schema.get_field_index(own)
        text = batch.column(place)
        try:
            numbers = text.cast(pa.int64())
            faithful = numbers.cast(pa.string()).equals(text)
        except pa.ArrowInvalid:
            faithful = False
        if not faithful:
            self._types[own] = pa.string()
            return None
        return batch.set_column(place, schema.field(place), numbers)

    def _widen(self, error: BaseException) -> None:
        """Find what stopped Arrow: raises BadRow, or sets wider types."""
        with reading_errors(self._raw):
            wider = diagnose(self._shape, self._read_types(), frozenset(self._named))
        own = self._options.id_column
        changed = {name: kind for name, kind in wider.items() if name != own and kind != self._types[name]}
        if not changed:
            problem = str(error).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error
        self._types |= changed

    def _guess(self) -> dict[str, pa.DataType]:
        """Types from the first block."""
        texts = self._first_block({name: pa.string() for name in self._shape.columns})
        guessed = self._first_block({})
        types = {}
        for i, name in enumerate(self._shape.columns):
            kind = guessed.schema.field(i).type
            if pa.types.is_null(kind) or (pa.types.is_string(kind) and self._is_numeric(name, texts.column(i))):
                kind = pa.float64() if pa.types.is_string(kind) else pa.null()
            elif pa.types.is_timestamp(kind):
                kind = pa.timestamp("us", kind.tz)
            elif not any(kind == known for known in NAMED_TYPES.values()):
                kind = pa.string()
            types[name] = kind
        return types

    def _first_block(self, types: dict[str, pa.DataType]) -> pa.RecordBatch:
        try:
            found = next(self._shape.read(types), None)
        except (pa.ArrowInvalid, OSError) as error:
            with reading_errors(self._raw):
                diagnose(self._shape, {name: pa.string() for name in self._shape.columns}, frozenset())
            problem = str(error).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error
        if found is None or not found.num_rows:
            raise EmptySource(f"{self._raw.name} has a header but no rows. Nothing was stored.")
        return found

    def _is_numeric(self, name: str, texts: pa.Array) -> bool:
        if name == self._options.id_column:
            return False
        filled = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        numbers = pc.sum(pc.match_substring_regex(filled, NUMBER)).as_py() or 0
        return len(filled) > 0 and 2 * int(numbers) >= len(filled)


class _Tap:
    """The decompressed bytes on their way to the parser, which closes a quote left open at the end without a word."""

    def __init__(self, raw: RawFile) -> None:
        self._file = raw.open()
        self._plain = pa.CompressedInputStream(self._file, raw.compression) if raw.compression else self._file
        self.quotes = 0
        self.done = 0

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return bool(self._plain.closed)

    def read(self, size: int = -1) -> bytes:
        """The next bytes; counts double quotes and how far the file is read."""
        data: bytes = self._plain.read(None if size < 0 else size)
        self.quotes += data.count(b'"')
        self.done = self._file.tell()
        return data

    def close(self) -> None:
        """Close the file."""
        self._plain.close()
        self._file.close()


def _named_type(text: str) -> pa.DataType:
    if text not in NAMED_TYPES:
        raise BadSource(f"'{text}' is not a type of columns.", hint=did_you_mean(text, NAMED_TYPES))
    return NAMED_TYPES[text]


def _header(raw: RawFile, delimiter: str | None) -> tuple[list[str], str]:
    """The column names, and the delimiter: the given one, or the most frequent candidate in the header."""
    with reading_errors(raw), closing(_Tap(raw)) as file:
        start = file.read(BLOCK_BYTES)
    try:
        text = start.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        if b"\n" not in start[: error.start] and error.start < len(start) - 4:
            raise BadRow(
                raw.name, 1, None, start[:80].decode(errors="replace"), "not UTF-8 text", hint="Save the file as UTF-8."
            ) from error
        text = start[: error.start].decode().removeprefix(_BYTE_ORDER_MARK)
    first = next((line for line in text.splitlines() if line), "")
    if not first:
        raise EmptySource(f"{raw.name} is empty. Nothing was stored.")
    sign = delimiter or max(DELIMITERS, key=first.count)
    return next(row for row in csv.reader(StringIO(text, newline=""), delimiter=sign) if row), sign
