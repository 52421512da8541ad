"""Writes a table's partitions and, at the end, hands them over to be registered.

Rows are gathered until a partition is full, so memory does not grow with the table. Nothing is visible before
`close`, and a writer that is abandoned leaves nothing behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from storage.columns.conversion import keep_as_text
from storage.columns.roles import check_roles, check_weights
from storage.columns.types import ContentDigest, missing, normal_schema, normal_table
from storage.columns.unique import IdCheck, numbered_row
from storage.errors import InfiniteNumber, TableSchemaMismatch
from storage.facts import NO_ROLES, TableRoles
from storage.frames import read_partition
from storage.place import Place
from storage.tables.manifest import Column, Partition, TableManifest

PARTITION_ROWS = 1_000_000
PARTITION_BYTES = 32 * 2**20
_MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """What a table is going to be.

    Attributes:
        schema: Of the rows; stored in its normal form.
        roles: Which of its columns play one.
        partition_rows: The most rows of a partition; a partition also ends at 32 MiB.
        unique_ids: Whether two rows of one id are refused.
        origin: The attempt and address that make it.
        finite: Whether an infinite number is refused.
        row_name: Says where a row stands, the first being 0, for messages.
    """

    schema: pa.Schema
    roles: TableRoles = NO_ROLES
    owner: str = ""
    partition_rows: int = PARTITION_ROWS
    unique_ids: bool = True
    origin: str = ""
    finite: bool = False
    row_name: Callable[[int], str] = numbered_row


@dataclass(frozen=True)
class WrittenTable:
    """Partitions that are complete, on their way to a manifest."""

    plan: TablePlan
    columns: tuple[Column, ...]
    rows: int
    digest: str
    partitions: tuple[Partition, ...]


class TableWriter:
    """Takes rows, makes a table. A context manager: leaving it by an error abandons the table.

    `folder` in `place` becomes the table's folder; partitions are named relative to it, under `data`.
    """

    def __init__(
        self,
        place: Place,
        data: str,
        plan: TablePlan,
        commit: Callable[[WrittenTable], TableManifest],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = place
        self._data = data
        self._plan = plan
        self._commit = commit
        self._release = release
        self._schema = normal_schema(plan.schema)
        check_roles(plan.roles, self._schema)
        self._digest = ContentDigest(self._schema)
        unique = plan.roles.id is not None and plan.unique_ids
        self._ids = IdCheck(self._schema.field(plan.roles.id).type, plan.row_name) if unique else None
        self._missing = dict.fromkeys(self._schema.names, 0)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._rows = 0
        self._without_label = 0
        self._partitions: list[Partition] = []
        self._open = True

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._open:
            return
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def schema(self) -> pa.Schema:
        """The schema that rows are stored in."""
        return self._schema

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows. Raises TableSchemaMismatch if their columns are not the table's."""
        if not self._open:
            raise TableSchemaMismatch("The table is closed; nothing more can be written to it.")
        for batch in normal_table(rows, self._schema).to_batches():
            self._take(batch)

    def close(self) -> TableManifest:
        """Write what is left and register the table. Raises DuplicateIds; the writer is spent in any case."""
        try:
            if self._waiting_rows:
                self._flush()
            if self._ids is not None:
                self._ids.check(self._plan.roles.id or "", self._stored_ids)
            columns = tuple(Column(f.name, str(f.type)) for f in self._schema)
            manifest = self._commit(
                WrittenTable(self._plan, columns, self._rows, self._digest.hexdigest(), tuple(self._partitions))
            )
        except BaseException:
            self.abandon()
            raise
        self._open = False
        self._release()
        return manifest

    def remarks(self) -> list[str]:
        """What the user should hear of the rows."""
        roles, said = self._plan.roles, []
        if self._without_label:
            rows = "row has" if self._without_label == 1 else "rows have"
            said.append(f"{self._without_label} {rows} no label (column '{roles.label}').")
        if roles.label is not None and pa.types.is_string(self._schema.field(roles.label).type):
            said.append(_text_label(roles.label))
        empty = [name for name, count in self._missing.items() if count == self._rows]
        gaps = {
            field.name: self._missing[field.name]
            for field in self._schema
            if _holds_numbers(field.type)
            and field.name not in roles.columns.values()
            and 0 < self._missing[field.name] < self._rows
        }
        said += [_without_values(empty)] if empty and self._rows else []
        return said + ([_with_gaps(gaps, self._rows)] if gaps else [])

    def abandon(self) -> None:
        """Remove what was written."""
        self._open = False
        self._place.remove(self._data)
        self._release()

    def _take(self, batch: pa.RecordBatch) -> None:
        while batch.num_rows:
            room = min(self._plan.partition_rows - self._waiting_rows, self._rows_that_fit(batch))
            part = batch.slice(0, room)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            self._waiting_bytes += part.nbytes
            batch = batch.slice(room)
            if self._waiting_rows >= self._plan.partition_rows or self._waiting_bytes >= PARTITION_BYTES:
                self._flush()

    def _rows_that_fit(self, batch: pa.RecordBatch) -> int:
        a_row = max(1, int(batch.nbytes) // int(batch.num_rows))
        return max(1, (PARTITION_BYTES - self._waiting_bytes) // a_row + 1)

    def _flush(self) -> None:
        batch = self._one_batch()
        self._digest.update(batch)
        self._look(batch)
        check_weights(self._plan.roles, batch, self._rows, self._plan.row_name)
        if self._plan.roles.label is not None:
            self._without_label += missing(batch.column(self._plan.roles.label))
        if self._ids is not None:
            self._ids.add(batch.column(self._plan.roles.id))
        content = _file_bytes(batch)
        name = f"part-{len(self._partitions):05d}.arrow"
        self._place.write(f"{self._data}/{name}", content)
        folder = "/".join(self._data.split("/")[-2:])
        self._partitions.append(
            Partition(f"{folder}/{name}", batch.num_rows, content.size, sha256(content).hexdigest())
        )
        self._rows += batch.num_rows

    def _look(self, batch: pa.RecordBatch) -> None:
        """Count what is missing; raises InfiniteNumber."""
        for name, column in zip(self._schema.names, batch.columns, strict=True):
            if _holds_numbers(column.type) or self._missing[name] == self._rows:
                self._missing[name] += missing(column)
            if not self._plan.finite or not pa.types.is_floating(column.type):
                continue
            infinite = pc.is_inf(column)
            if pc.any(infinite).as_py():
                row = pc.index(infinite, True).as_py()
                raise InfiniteNumber(
                    f"Column '{name}' has {column[row].as_py()} in {self._plan.row_name(self._rows + row)}, which is "
                    "no finite number. Nothing was stored.",
                    hint="Correct it or leave it empty where the file is made, or keep the column as text: "
                    f"{keep_as_text(name)}.",
                )

    def _one_batch(self) -> pa.RecordBatch:
        table = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        batch: pa.RecordBatch = table.to_batches()[0]
        return batch

    def _stored_ids(self) -> list[pa.Array]:
        """The id column, partition by partition, from the files."""
        found = []
        for partition in self._partitions:
            with self._place.open(f"{self._data}/{partition.file.rpartition('/')[2]}") as file:
                found.append(read_partition(file.read_buffer(), known=True).column(self._plan.roles.id))
        return found


def _text_label(column: str) -> str:
    return (
        f"The label column '{column}' holds text, which no training takes: write classes as whole numbers. "
        f"Yes and no of a CSV become true and false with --type {shlex.quote(f'{column}=bool')}."
    )


def _holds_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _with_gaps(gaps: Mapping[str, int], rows: int) -> str:
    shown = ", ".join(f"{count} in '{name}'" for name, count in list(gaps.items())[:_MOST_SHOWN])
    more = f" and more in {len(gaps) - _MOST_SHOWN} other columns" if len(gaps) > _MOST_SHOWN else ""
    return (
        f"Numbers are missing: {shown}{more}, of {rows} rows. No training takes a row without one: fill them in, "
        "or leave such rows or columns out, where the file is made."
    )


def _without_values(columns: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in columns[:_MOST_SHOWN])
    more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
    noun, it = ("Column", "it") if len(columns) == 1 else ("Columns", "them")
    have = "has" if len(columns) == 1 else "have"
    return f"{noun} {shown}{more} {have} no value in any row; no training can use {it}. To leave {it} out: --drop."


def _file_bytes(batch: pa.RecordBatch) -> pa.Buffer:
    """The batch as an Arrow IPC file, in a buffer of exactly its size."""
    measured = pa.MockOutputStream()
    _write_file(measured, batch)
    buffer = pa.allocate_buffer(measured.size())
    with pa.FixedSizeBufferWriter(buffer) as sink:
        _write_file(sink, batch)
    return buffer


def _write_file(sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
    with ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
