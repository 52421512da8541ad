"""A table as one file for other programs: CSV, Parquet or Arrow, made piece by piece, so that memory stays constant."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from typing import Any

import pyarrow as pa
from pyarrow import csv, ipc, parquet

from storage.errors import ColumnTypeRefused
from storage.tables.table import Table

BLOCK_ROWS = 1 << 16  # of one row group or record batch


class ExportFormat(StrEnum):
    """What kind of file a table becomes."""

    CSV = "csv"  # nulls are empty, text is quoted where it has to be, numbers read back as they were
    PARQUET = "parquet"
    ARROW = "arrow"  # an Arrow IPC file, which is Feather version 2 too


def exported(table: Table, form: ExportFormat) -> Iterator[bytes]:
    """The pieces of the file, in order; together they hold every row of the table.

    Raises:
        ColumnTypeRefused: A column of bytes cannot be written as CSV; raised with the first piece.
        Damaged: A partition is not what it was; what came before is not a whole file.
    """
    schema = table.schema
    if form is ExportFormat.CSV:
        _refuse_bytes(table, schema)
    pieces = _Pieces()
    with closing(_writer(form, pieces, schema)) as writer:
        for batch in table.batches(verified=True):
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                writer.write(pa.Table.from_batches([batch.slice(start, BLOCK_ROWS)], schema))
                yield pieces.taken()
    yield pieces.taken()


class _Pieces(io.RawIOBase):
    """Where a writer writes, until what it wrote is taken."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._taken = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._held += data
        return size

    def tell(self) -> int:
        return self._taken + len(self._held)

    def taken(self) -> bytes:
        """What was written since it was last asked for."""
        piece = bytes(self._held)
        self._taken += len(piece)
        self._held.clear()
        return piece


def _writer(form: ExportFormat, sink: _Pieces, schema: pa.Schema) -> Any:
    if form is ExportFormat.CSV:
        return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(quoting_style="needed"))
    if form is ExportFormat.PARQUET:
        return _ParquetWriter(sink, schema)
    return ipc.new_file(sink, schema)


class _ParquetWriter:
    """Arrow's, with the methods that the other two have."""

    def __init__(self, sink: _Pieces, schema: pa.Schema) -> None:
        self._writer = parquet.ParquetWriter(sink, schema)

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows)

    def close(self) -> None:
        self._writer.close()


def _refuse_bytes(table: Table, schema: pa.Schema) -> None:
    for field in schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise ColumnTypeRefused(
                f"{table.manifest.reference}: column '{field.name}' holds bytes, which CSV cannot.",
                hint="Choose Parquet or Arrow.",
            )
