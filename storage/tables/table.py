"""A table opened for reading: columns, matrices and batches straight from the mapped files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from runtime.text import printable
from storage.columns.types import check_column, check_days
from storage.errors import ColumnNotFound, ColumnTypeRefused, Damaged, TableSchemaMismatch, ValueDamaged
from storage.frames import read_partition
from storage.place import Place, Stamp
from storage.tables.manifest import Column, Partition, TableManifest
from storage.tables.stamps import read_stamps

_BLOCK_ROWS = 8192  # of a matrix, filled column by column while it is in the cache


class Table:
    """One immutable version of a table.

    Its files are mapped, not read: a column of one partition reaches NumPy without a copy if it is a number without
    nulls. `folder` is where the table's files lie in `place`.

    Attributes:
        title: What messages call it: by its reference, or as the input that it is bound to.
    """

    def __init__(self, place: Place, folder: str, manifest: TableManifest) -> None:
        self.manifest = manifest
        self.title = f"'{manifest.reference}'"
        self._place = place
        self._folder = folder
        self._opened: pa.Table | None = None
        self._validated: set[str] = set()  # partitions; each is looked at once, however often it is read
        self._stamps: Mapping[str, Stamp] | None = None

    def __repr__(self) -> str:
        return f"<Table {self.manifest.reference}: {self.rows} rows, {len(self.manifest.columns)} columns>"

    def as_input(self, job: str, task: str, name: str) -> Table:
        """This table, called as people wrote it who named it as the input `name` of a task."""
        self.title = f"'{self.manifest.written_in(job)}' (input '{name}' of task '{task}')"
        return self

    def __len__(self) -> int:
        return self.rows

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.manifest.rows

    @property
    def features(self) -> list[str]:
        """Names of the columns that play no role."""
        return self.manifest.features

    @property
    def schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return schema_of(self.manifest.columns)

    def to_arrow(self) -> pa.Table:
        """The whole table, one chunk a partition, mapped. Raises Damaged."""
        if self._opened is None:
            batches = [self._batch(partition) for partition in self.manifest.partitions]
            self._opened = pa.Table.from_batches(batches) if batches else self.schema.empty_table()
        return self._opened

    def batches(self, *, verified: bool = False) -> Iterator[pa.RecordBatch]:
        """The partitions one after the other, each a batch without a copy. Raises Damaged.

        `verified`: the digest of each is taken anew, also of a file that was not changed since it was stored.
        """
        for partition in self.manifest.partitions:
            if verified:
                self._verify(partition)
            yield self._batch(partition)

    def column(self, name: str) -> NDArray[Any]:
        """One column. Integers with nulls become floats with NaN; text becomes objects.

        Raises:
            ColumnNotFound: There is no such column.
        """
        check_column(name, self.to_arrow().column_names, f"of {self.title}")
        return _to_numpy(self.to_arrow().column(name))

    def matrix(self, columns: Sequence[str] | None = None, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """The columns (all features if none are named) as a C-contiguous `(rows, columns)` array; nulls become NaN.

        Raises:
            ColumnNotFound: There is no such column.
            ColumnTypeRefused: A column is not a number.
        """
        names = self.features if columns is None else list(columns)
        schema = self.to_arrow().schema
        for name in sorted(set(names) - set(schema.names)):
            check_column(name, schema.names, f"of {self.title}")
        for name in names:
            _check_number(schema.field(name))
        filled = np.empty((self.rows, len(names)), dtype)
        first = 0
        for batch in self.batches():
            parts = [_to_numpy(batch.column(name)) for name in names]
            _fill(filled[first : first + batch.num_rows], parts)
            first += batch.num_rows
        return filled

    def labels(self) -> NDArray[Any] | None:
        """The label column, or None if the table has none."""
        label = self.manifest.roles.label
        return None if label is None else self.column(label)

    def ids(self) -> pa.Array:
        """The id column. Raises ColumnNotFound if the table has none."""
        if self.manifest.roles.id is None:
            raise ColumnNotFound(
                f"Table {self.title} has no id column.", hint="Name one when the table is uploaded (--id)."
            )
        return _one_chunk(self.to_arrow().column(self.manifest.roles.id))

    def verify(self) -> None:
        """Read every file and compare its digest with the manifest's. Raises Damaged."""
        for partition in self.manifest.partitions:
            self._verify(partition)

    def _verify(self, partition: Partition) -> None:
        with self._open(partition) as file:
            if sha256(file.read_buffer()).hexdigest() != partition.sha256:
                raise self._damaged(partition, "has another digest than its manifest says")

    def _is_unchanged(self, partition: Partition) -> bool:
        """Whether the file is as it was when its digest was taken, as far as the file system knows."""
        if self._stamps is None:
            self._stamps = read_stamps(self._place, self._folder, self.manifest)
        known = self._stamps.get(partition.file)
        try:
            return known is not None and known == self._place.stamp(f"{self._folder}/{partition.file}")
        except FileNotFoundError:
            return False

    def _batch(self, partition: Partition) -> pa.RecordBatch:
        if partition.file not in self._validated and not self._is_unchanged(partition):
            self._verify(partition)
        with self._open(partition) as file:
            try:
                known = partition.file in self._validated
                batch = read_partition(file.read_buffer(), known=known)
                if not known:
                    check_days(batch)
            except (ValueDamaged, TableSchemaMismatch, OSError) as error:
                raise self._damaged(partition, f"cannot be read ({error})") from error
        if batch.num_rows != partition.rows or self._columns(batch.schema) != self.manifest.columns:
            raise self._damaged(partition, "does not hold the rows and columns that its manifest says")
        self._validated.add(partition.file)
        return batch

    @staticmethod
    def _columns(schema: pa.Schema) -> tuple[Column, ...]:
        return tuple(Column(field.name, str(field.type)) for field in schema)

    def _open(self, partition: Partition) -> pa.NativeFile:
        try:
            file = self._place.open(f"{self._folder}/{partition.file}")
        except FileNotFoundError as error:
            raise self._damaged(partition, "is missing") from error
        if file.size() != partition.bytes:
            raise self._damaged(partition, f"has {file.size()} bytes, not {partition.bytes}")
        return file

    def _damaged(self, partition: Partition, problem: str) -> Damaged:
        where = f"{self.manifest.reference}, file {partition.file}"
        again = "run the job again" if self.manifest.ref.is_of_a_job else "upload the table again"
        return Damaged(f"{where} {problem}.", hint=f"Do not use it: bring the file back from a backup, or {again}.")


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The columns and their Arrow types. Raises Damaged for a type that is none."""
    return pa.schema([pa.field(column.name, _type(column.type)) for column in columns])


def _type(text: str) -> pa.DataType:
    """A stored type from its text; of those tables may have, only timestamps have one Arrow does not parse."""
    if text.startswith("timestamp[us"):
        _, _, zone = text.rstrip("]").partition("tz=")
        return pa.timestamp("us", zone or None)
    try:
        return pa.type_for_alias({"date32[day]": "date32"}.get(text, text))
    except ValueError as error:
        raise Damaged(f"'{printable(text[:60])}' is not the type of a column.") from error


def _check_number(field: pa.Field) -> None:
    if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)):
        raise ColumnTypeRefused(
            f"Column '{field.name}' holds {field.type}, not numbers.",
            hint="Leave it out, make it the id column, or encode it as numbers before the upload.",
        )


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _to_numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """NumPy's view of the column where there can be one, else a copy."""
    array = _one_chunk(column) if isinstance(column, pa.ChunkedArray) else column
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found


def _fill(target: NDArray[Any], columns: list[NDArray[Any]]) -> None:
    for start in range(0, len(target), _BLOCK_ROWS):
        block = target[start : start + _BLOCK_ROWS]
        for i, column in enumerate(columns):
            block[:, i] = column[start : start + _BLOCK_ROWS]
