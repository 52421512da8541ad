"""Reads Arrow and Parquet files that somebody else made; runs only in a process of its own, see `reader`.

Such a file may point outside its buffers, promise more rows than it has bytes, or unfold to any size. Every batch is
validated in full before a value of it is touched, brought to the types that tables have, and handed on in small
pieces. What no check sees (a defect of the library, a file that unfolds without end) ends this process alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyarrow import ipc, parquet

from storage.columns.conversion import Loss, rounding_remarks, zone_remark
from storage.columns.types import check_names, normal_schema, normal_table
from storage.errors import BadSource, EmptySource
from storage.intake.not_numbers import number_remarks, without_numbers
from storage.intake.raw_file import RawFile, reading_errors, refuse_empty
from storage.intake.source_options import SourceOptions

PIECE_ROWS = 65_536
PIECE_BYTES = 16 * 2**20
ROWS_PER_BYTE = 64  # more no honest file holds: constant columns take a few bits a thousand rows, but ids do not
FREE_ROWS = 1 << 24
MOST_REMARKS = 10
_ARROW_MAGIC = b"ARROW1"

Piece = tuple[int, pa.RecordBatch]


class ForeignFile:
    """One file: its columns as a table stores them, and its rows in pieces with the bytes done so far."""

    def __init__(self, raw: RawFile, form: str, options: SourceOptions) -> None:
        self._raw = raw
        self._options = options
        self._rows = 0
        self._rounded: dict[str, Loss] = {}
        with reading_errors(raw):
            self._reader = _Parquet(raw) if form == "parquet" else _Arrow(raw)
            found = self._reader.schema
            check_names(found.names, raw.name)
            _ = str(found)  # time zones are decoded as text only when they are looked at
            types = options.types(found.names)
            self._kept = options.kept(found.names)
            fields = [found.field(name) for name in self._kept]
            self.schema = normal_schema(pa.schema([f.with_type(types.get(f.name, f.type)) for f in fields]))
            self._remarks = [zone_remark(f, kept) for f, kept in zip(fields, self.schema, strict=True)]
            if not self._kept:
                raise EmptySource(f"{raw.name} has no columns. Nothing was stored.")

    def pieces(self) -> Iterator[Piece]:
        """Every row. Raises BadSource, EmptySource, TableSchemaMismatch."""
        with reading_errors(self._raw):
            for done, batch in self._reader.batches(self._kept):
                self._refuse_too_many(self._rows + batch.num_rows)
                for piece in _cut(batch):
                    yield done, self._stored(piece)
                    self._rows += piece.num_rows
        refuse_empty(self._raw, self._rows)

    def remarks(self) -> list[str]:
        """What the user should be told, once every row is read."""
        found = {name: (loss.text, f"row {loss.row + 1}") for name, loss in self._rounded.items()}
        zones = [said for said in self._remarks if said is not None][:MOST_REMARKS]
        return zones + rounding_remarks(found) + number_remarks(without_numbers(self.schema, self._options), {})

    def _stored(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        found: dict[str, Loss] = {}
        (batch,) = normal_table(piece, self.schema, found).combine_chunks().to_batches()
        for name, loss in found.items():
            self._rounded.setdefault(name, Loss(self._rows + loss.row, loss.text))
        return batch

    def _refuse_too_many(self, rows: int) -> None:
        if rows > ROWS_PER_BYTE * self._raw.size + FREE_ROWS:
            raise BadSource(f"{self._raw.name} claims more rows than its {self._raw.size} bytes can hold.")


class _Arrow:
    """An Arrow IPC file or stream."""

    def __init__(self, raw: RawFile) -> None:
        self._size = raw.size
        file = raw.open()
        magic = file.read(len(_ARROW_MAGIC))
        file.seek(0)
        self._reader = ipc.open_file(file) if magic == _ARROW_MAGIC else ipc.open_stream(file)
        self.schema: pa.Schema = self._reader.schema

    def batches(self, kept: list[str]) -> Iterator[Piece]:
        done = 0
        for whole in self._each():
            batch = whole.select(kept)
            batch.validate(full=True)  # before anything else: even the size of a batch is worked out from its values
            done += batch.nbytes if batch.num_rows else 0
            yield min(done, self._size), batch

    def _each(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._reader, ipc.RecordBatchFileReader):
            for i in range(self._reader.num_record_batches):
                yield self._reader.get_batch(i)
        else:
            yield from self._reader


class _Parquet:
    """A Parquet file, in batches of a bounded size."""

    def __init__(self, raw: RawFile) -> None:
        self._size = raw.size
        self._file = parquet.ParquetFile(raw.open(), pre_buffer=False, buffer_size=2**20)
        self._rows = self._file.metadata.num_rows
        self.schema: pa.Schema = self._file.schema_arrow

    def batches(self, kept: list[str]) -> Iterator[Piece]:
        done = 0
        for whole in self._file.iter_batches(self._piece_rows(), columns=kept, use_threads=False):
            batch = whole.select(kept)
            batch.validate(full=True)
            done += batch.num_rows
            yield min(self._size * done // max(1, self._rows), self._size), batch

    def _piece_rows(self) -> int:
        """So many rows that a batch has about the size of a piece."""
        groups = (self._file.metadata.row_group(i) for i in range(self._file.metadata.num_row_groups))
        unfolded = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1)
        return max(1, min(PIECE_ROWS, PIECE_BYTES // max(1, unfolded)))


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of a bounded number of rows and, where rows are of one size, of bytes."""
    a_row = batch.nbytes // max(1, batch.num_rows)
    rows = max(1, min(PIECE_ROWS, PIECE_BYTES // max(1, a_row)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
