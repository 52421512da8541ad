"""A CSV file on its way into a table: what its columns are, and its rows in blocks of a fixed size.

Types are taken from the first block. A column in which at least half of the values are numbers is a column of
numbers, so that a slip of the keyboard is reported and does not turn it into text. Where a later block shows that a
column is wider than it looked (integers, then decimals), the file is read again from its start with the wider type.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import BadSource, EmptySource
from storage.intake.csv_faults import (
    CsvShape,
    diagnose,
    line_of_row,
    lines_of_rows,
    refuse_infinite,
    refuse_long_fields,
)
from storage.intake.csv_header import BLOCK_BYTES, Tap, check_header, read_header
from storage.intake.csv_losses import large_columns, losses
from storage.intake.csv_quotes import check_cells, check_quotes
from storage.intake.csv_words import WHOLE_NUMBER, commas_remark, has_decimal_commas, number_pattern
from storage.intake.not_numbers import NoNumber, first_no_number, number_remarks, without_numbers
from storage.intake.raw_file import RawFile, reading_errors
from storage.intake.source_options import NAMED_TYPES, SourceOptions

_LONG = 10**15  # whole numbers below have at most 15 digits


class CsvReading:
    """One CSV file, compressed or not."""

    def __init__(self, raw: RawFile, options: SourceOptions) -> None:
        self._raw = raw
        self._options = options
        self._tap: Tap | None = None
        self._complete = False
        header = read_header(raw, options)
        self._encoding, self._remarks = header.encoding, list(header.remarks)
        columns = [name for name in header.columns if name != header.index]
        check_header(raw.name, columns, 1 if header.index is None else 2)
        self._named = options.types(columns)
        self._ids = [name for name in options.roles.ids if name not in self._named]  # whose type is ours to find
        self._shape = CsvShape(
            raw.name,
            self._open,
            tuple(header.columns),
            header.delimiter,
            BLOCK_BYTES,
            tuple(options.kept(columns)),
            options.null_values,
            options.decimal or ".",
            not options.no_header,
        )
        self._no_numbers: dict[str, NoNumber] = {}
        self._commas: set[str] = set()
        self._types = self._guess() | {name: kind for name, kind in self._named.items() if name in self._shape.kept}

    def schema(self) -> pa.Schema:
        """The columns as they are known now."""
        return pa.schema([(name, self._types[name]) for name in self._shape.kept])

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows. Raises BadRow; ends early, with wider types, where they proved too narrow."""
        schema = self.schema()
        rows, large = 0, set[str]()
        try:
            with closing(self._shape.read(self._read_types())) as blocks:
                for batch in blocks:
                    refuse_long_fields(self._shape, batch, rows)
                    converted = self._with_ids(batch, schema)
                    if converted is None:
                        return
                    found = large_columns(batch)
                    for name in found:
                        refuse_infinite(self._shape, name, batch.column(name), rows)
                    rows += batch.num_rows
                    large.update(found)
                    yield converted
        except (pa.ArrowInvalid, OSError) as error:
            self._widen(error)
            return
        if not rows:
            raise EmptySource(f"{self._raw.name} has a header but no rows. Nothing was stored.")
        self._check_quotes(rows)
        self._remarks += losses(self._shape, large, self._maybe_zeros()) + self._unlike_numbers()
        self._complete = True

    def is_complete(self) -> bool:
        """Whether the last `batches` gave every row."""
        return self._complete

    def position(self) -> tuple[int, int]:
        """Bytes of the (compressed) file."""
        return self._tap.done if self._tap is not None else 0, self._raw.size

    def row_name(self, row: int) -> str:
        """Where a row stands in the file."""
        return f"line {line_of_row(self._shape, row)} of {self._raw.name}"

    def remarks(self) -> list[str]:
        """What was found and done."""
        return self._remarks

    def close(self) -> None:
        """Close the file, wherever reading stopped."""
        if self._tap is not None:
            self._tap.close()

    def _check_quotes(self, rows: int) -> None:
        """Raise BadRow for a quote that is not closed where its cell ends; the file was read, and has so many rows."""
        tap = self._tap
        if tap is None or not tap.quotes:
            return
        if tap.quotes % 2:
            check_quotes(self._shape)
        if tap.breaks > rows + self._shape.header:
            numbers = [field.name for field in self.schema() if field.type in (pa.int64(), pa.float64())]
            self._remarks += check_cells(self._shape, numbers)

    def _maybe_zeros(self) -> set[str]:
        """The columns that were taken for numbers and may have lost leading zeros."""
        if self._tap is None or not self._tap.zeros.seen:
            return set()
        numbers = (pa.int64(), pa.float64())
        return {
            name
            for name, kind in self._types.items()
            if kind in numbers and name not in self._named and name not in self._ids
        }

    def _unlike_numbers(self) -> list[str]:
        """Remarks on the columns that no training takes, but for those of decimal commas, which have their own."""
        found = without_numbers(self.schema(), self._options)
        held = {name: what for name, what in found.items() if name not in self._commas}
        first = {name: self._no_numbers[name] for name in held if name in self._no_numbers}
        lines = lines_of_rows(self._shape, {value.row for value in first.values()})
        placed = {name: (value, f"line {lines[value.row]}") for name, value in first.items()}
        return number_remarks(held, placed, self._shape.nulls, self._shape.decimal)

    def _open(self) -> pa.NativeFile:
        self._tap = Tap(self._raw, self._encoding)
        return pa.PythonFile(self._tap, mode="r")

    def _read_types(self) -> dict[str, pa.DataType]:
        """The types Arrow is to parse; ids are read as text first, see `_with_ids`, unless their type is given."""
        return {name: pa.string() if name in self._ids else kind for name, kind in self._types.items()}

    def _with_ids(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch | None:
        """The batch with its columns of ids in their types; None if an id is not the integer it looks like."""
        for name in self._ids:
            if self._types.get(name) != pa.int64():
                continue
            index = schema.get_field_index(name)
            numbers = _whole_numbers(batch.column(index))
            if numbers is None:
                self._types[name] = pa.string()
                return None
            batch = batch.set_column(index, schema.field(index), numbers)
        return batch

    def _widen(self, error: BaseException) -> None:
        """Find what stopped Arrow: raises BadRow, or sets wider types."""
        with reading_errors(self._raw):
            wider = diagnose(self._shape, self._read_types(), frozenset(self._named))
        changed = {n: kind for n, kind in wider.items() if n not in self._ids and kind != self._types[n]}
        if not changed:
            problem = str(error).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error
        self._types |= changed

    def _guess(self) -> dict[str, pa.DataType]:
        """Types from the first block."""
        texts = self._first_block({name: pa.string() for name in self._shape.kept})
        guessed = self._first_block({})
        types = {}
        for i, name in enumerate(self._shape.kept):
            kind = guessed.schema.field(i).type
            if name in self._options.roles.ids and pa.types.is_floating(kind) and self._is_long(texts.column(i)):
                kind = pa.string()
            elif pa.types.is_null(kind) or (pa.types.is_string(kind) and self._is_numeric(name, texts.column(i))):
                kind = pa.float64() if pa.types.is_string(kind) else pa.null()
            elif pa.types.is_timestamp(kind):
                kind = pa.timestamp("us", kind.tz)
            elif pa.types.is_string(kind) and has_decimal_commas(texts.column(i)):
                self._remark_commas(name, texts.column(i))
            elif not any(kind == known for known in NAMED_TYPES.values()):
                kind = pa.string()
            if kind == pa.string():
                found = first_no_number(texts.column(i), self._shape.null_values, self._shape.decimal)
                self._no_numbers |= {name: found} if found is not None else {}
            types[name] = kind
        return types

    def _remark_commas(self, name: str, texts: pa.Array) -> None:
        if name not in self._named and name not in self._options.roles.ids:
            self._commas.add(name)
            self._remarks.append(commas_remark(name, texts))

    def _first_block(self, types: dict[str, pa.DataType]) -> pa.RecordBatch:
        try:
            with closing(self._shape.read(types)) as blocks:
                found = next(blocks, None)
        except (pa.ArrowInvalid, OSError) as error:
            with reading_errors(self._raw):
                diagnose(self._shape, {name: pa.string() for name in self._shape.kept}, frozenset())
            problem = str(error).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error
        if found is None or not found.num_rows:
            raise EmptySource(f"{self._raw.name} has a header but no rows. Nothing was stored.")
        return found

    @staticmethod
    def _is_long(texts: pa.Array) -> bool:
        """Whether an id column that Arrow takes for decimals holds whole numbers too long for it."""
        filled = texts.filter(pc.not_equal(texts, ""))
        whole = pc.all(pc.match_substring_regex(filled, WHOLE_NUMBER)).as_py()
        return bool(len(filled) and whole)

    def _is_numeric(self, name: str, texts: pa.Array) -> bool:
        if name in self._options.roles.ids:
            return False
        filled = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        numbers = pc.sum(pc.match_substring_regex(filled, number_pattern(self._shape.decimal))).as_py() or 0
        return len(filled) > 0 and 2 * int(numbers) >= len(filled)


def _whole_numbers(ids: pa.Array) -> pa.Array | None:
    """Ids as the integers that they are written as; None if one is not written as one.

    `007` is not, nor is a number of more than 15 digits, which other programs would round.
    """
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    least, most = pc.min_max(numbers).as_py().values()
    small = least is None or -_LONG < least <= most < _LONG
    return numbers if small and numbers.cast(pa.string()).equals(ids) else None
