"""The types a table's column may have, and the digest of its content.

Sources differ in how they spell the same data (a CSV has no int32, Parquet has dictionaries), so types are brought
to a small set, and the digest is taken over values in one canonical form: it depends neither on partitions nor on
the format that the rows came from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from runtime.suggestions import did_you_mean
from runtime.text import is_printable, printable
from storage.columns.conversion import Loss, stored_column
from storage.errors import (
    BadColumnName,
    ColumnNotFound,
    ColumnTypeRefused,
    DuplicateColumn,
    TableSchemaMismatch,
    TooManyColumns,
)

MAX_COLUMNS = 10_000
MAX_NAME_CHARS = 1000
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY, _END_DAY = date.min.toordinal() - _EPOCH, date.max.toordinal() + 1 - _EPOCH
_DAY_US = 86_400_000_000
_MOST_SHOWN, _SHOWN_CHARS = 10, 60
_STORED = "Tables hold booleans, integers, floats, text, bytes, dates and timestamps."


def normal_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that rows of `schema` are stored in. Raises as `check_names` does, and ColumnTypeRefused."""
    check_names(schema.names)
    return pa.schema([pa.field(field.name, _normal_type(field)) for field in schema])


def check_names(names: Sequence[str], what: str = "The table", first: int = 1) -> None:
    """Raise TooManyColumns, BadColumnName or DuplicateColumn unless a table may have these columns.

    `what` has the columns, for messages, the first of them under the number `first`.
    """
    if len(names) > MAX_COLUMNS:
        raise TooManyColumns(
            f"{what} has {len(names)} columns; a table has at most {MAX_COLUMNS}.",
            hint="Split it into several tables, or leave columns out where the file is made.",
        )
    for number, name in enumerate(names, start=first):
        _check_name(number, name, what)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - _MOST_SHOWN} more" if len(twice) > _MOST_SHOWN else ""
        shown = ", ".join(repr(name[:_SHOWN_CHARS]) for name in twice[:_MOST_SHOWN])
        raise DuplicateColumn(f"More than one column is named {shown}{more}.", hint="Give every column its own name.")
    if any(not name.strip() for name in names):
        raise DuplicateColumn(f"Column {[not n.strip() for n in names].index(True) + first} has no name.")


def _check_name(number: int, name: str, what: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise BadColumnName(
            f"{what}: column {number} has a name of more than {MAX_NAME_CHARS} characters.",
            hint="Give it a shorter name where the file is made. A double quote may be opened there and never closed.",
        )
    if not is_printable(name):
        raise BadColumnName(
            f"{what}: column {number} has a control character in its name, '{printable(name[:_SHOWN_CHARS])}'.",
            hint="Rename the column where the file is made: a name has no line break, tab, escape sequence or mark "
            "that turns its direction.",
        )


def check_column(name: str | None, names: Iterable[str], what: str) -> None:
    """Raise ColumnNotFound, naming `what` the column is for, unless it is there or None."""
    known = names if isinstance(names, Mapping) else list(names)
    if name is not None and name not in known:
        raise ColumnNotFound(f"There is no column '{name}' ({what}).", hint=did_you_mean(name, known))


def missing(column: pa.Array) -> int:
    """How many values are missing: nulls, NaN and empty texts."""
    count = int(column.null_count)
    if pa.types.is_floating(column.type):
        count += pc.sum(pc.is_nan(column)).as_py() or 0
    elif pa.types.is_string(column.type):
        count += pc.sum(pc.equal(column, "")).as_py() or 0
    return count


def normal_table(
    rows: pa.Table | pa.RecordBatch, schema: pa.Schema, rounded: dict[str, Loss] | None = None
) -> pa.Table:
    """The rows in the normal schema. Raises TableSchemaMismatch.

    The first number of a column that was rounded is put into `rounded`; without it nothing may be.
    """
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    if table.schema.names != schema.names:
        raise TableSchemaMismatch(f"Rows have the columns {table.schema.names}, the table has {schema.names}.")
    columns = []
    for i, field in enumerate(schema):
        column, loss = stored_column(table.column(i), field)
        columns.append(column)
        if loss is not None and rounded is None:
            raise TableSchemaMismatch(f"Column '{field.name}' does not fit {field.type}: {loss.text} would be rounded.")
        if loss is not None and rounded is not None:
            rounded.setdefault(field.name, loss)
    normal = pa.Table.from_arrays(columns, schema=schema)
    check_days(normal)
    return normal


def check_days(rows: pa.Table | pa.RecordBatch) -> None:
    """Raise TableSchemaMismatch for a date or time outside the years 1 to 9999, which no calendar here can show."""
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if pa.types.is_date32(field.type):
            first, end = _FIRST_DAY, _END_DAY
            numbers = column.cast(pa.int32())
        elif pa.types.is_timestamp(field.type):
            spare = 0 if field.type.tz is None else 1  # days that a zone may add or take
            first, end = (_FIRST_DAY + spare) * _DAY_US, (_END_DAY - spare) * _DAY_US
            numbers = column.cast(pa.int64())
        else:
            continue
        found = pc.min_max(numbers).as_py()
        if found["min"] is not None and not first <= found["min"] <= found["max"] < end:
            raise TableSchemaMismatch(f"Column '{field.name}' has a date outside the years 1 to 9999.")


def _normal_type(field: pa.Field) -> pa.DataType:
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for test, normal in _NORMAL:
        if test(kind):
            return normal
    if pa.types.is_timestamp(kind):
        _check_zone(field.name, kind.tz)
        return pa.timestamp("us", kind.tz)
    raise ColumnTypeRefused(f"Column '{field.name}' has type {field.type}, which a table cannot hold.", hint=_STORED)


def _check_zone(column: str, zone: str | None) -> None:
    try:
        if zone is not None:
            pa.lib.string_to_tzinfo(zone)
    except (pa.ArrowException, ValueError, LookupError) as error:
        raise ColumnTypeRefused(
            f"Column '{column}' has times in the zone '{printable(str(zone)[:60])}', which is not known here.",
            hint="Write the times in UTC.",
        ) from error


_NORMAL = (
    (pa.types.is_boolean, pa.bool_()),
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_float32, pa.float32()),
    (pa.types.is_float64, pa.float64()),
    (pa.types.is_decimal, pa.float64()),
    (pa.types.is_null, pa.float64()),
    (pa.types.is_string, pa.string()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_binary, pa.binary()),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_binary_view, pa.binary()),
    (pa.types.is_fixed_size_binary, pa.binary()),
    (pa.types.is_date, pa.date32()),
)


class ContentDigest:
    """SHA-256 of a table's content, fed batch by batch; where the batches are cut does not matter.

    Each column has a hash of its values (nulls as zero) and of the row numbers of its nulls; text and bytes also one
    of their lengths. Float32 counts as the float64 of the same value, every NaN as the one NaN.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._hashes = [(sha256(), sha256(), sha256()) for _ in schema]
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows, which have the normal schema."""
        for column, hashes in zip(batch.columns, self._hashes, strict=True):
            self._add(column, *hashes)
        self._rows += batch.num_rows

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        columns = [
            [field.name, _family(field.type), *(h.hexdigest() for h in hashes)]
            for field, hashes in zip(self._schema, self._hashes, strict=True)
        ]
        text = json.dumps(["archipelago/table/v1", self._rows, columns], ensure_ascii=False, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    def _add(self, column: pa.Array, values: Any, nulls: Any, lengths: Any) -> None:
        if column.null_count:
            rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)) + self._rows
            nulls.update(np.ascontiguousarray(rows, "<i8").data)
            column = column.fill_null(_zero(column.type))
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            ends = np.frombuffer(column.buffers()[1], "<i4", len(column) + 1, column.offset * 4)
            lengths.update(np.diff(ends).astype("<i8").data)
            if column.buffers()[2] is not None:
                values.update(memoryview(column.buffers()[2])[int(ends[0]) : int(ends[-1])])
            return
        values.update(_canonical_numbers(column).data)


def _canonical_numbers(column: pa.Array) -> np.ndarray[Any, Any]:
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False).view(np.uint8)  # type: ignore[no-any-return]
    if pa.types.is_floating(kind):
        numbers = np.ascontiguousarray(column.to_numpy(zero_copy_only=False), "<f8")
        odd = np.isnan(numbers)
        return np.where(odd, np.nan, numbers) if odd.any() else numbers
    if pa.types.is_date(kind):
        column = column.cast(pa.int32())
    return np.ascontiguousarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), "<i8")


def _zero(kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_string(kind):
        return pa.scalar("", kind)
    if pa.types.is_binary(kind):
        return pa.scalar(b"", kind)
    return pc.cast(pa.scalar(0, pa.int32() if pa.types.is_date(kind) else pa.int64()), kind)


def _family(kind: pa.DataType) -> str:
    return "float" if pa.types.is_floating(kind) else str(kind)
