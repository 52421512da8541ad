"""The rows of jobs in memory, as the database has them: read without a statement, replaced by the commit of a change.

The database stays the authority: a change says what it expects to find there. Where that fails, or anything else goes
wrong, what memory holds of the job is dropped and read anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, make_dataclass
from threading import Lock
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from flow.store.tables import attempt, executor, job, job_party, part, side

MOST_BYTES = 64 << 20  # in memory, of all jobs together
ROW_BYTES = 1_000  # of a row without its documents

KEPT = (job, part, job_party, attempt, side, executor)
OF_JOB: Mapping[Table, Column[Any]] = {table: table.c.id if table is job else table.c.job for table in KEPT}
KEY: Mapping[Table, tuple[Column[Any], ...]] = {
    table: tuple(column for column in table.primary_key if column is not OF_JOB[table]) for table in KEPT
}
_FORM: Mapping[Table, Any] = {
    table: make_dataclass(table.name, table.c.keys(), frozen=True, slots=True) for table in KEPT
}
_EMPTY: Mapping[Table, Mapping[str, Any]] = {
    table: {column.name: getattr(column.default, "arg", None) for column in table.c} for table in KEPT
}

Key = tuple[Any, ...]
"""What is left of a row's primary key without the job."""

Rows = Mapping[Key, Any]
"""Rows of one table; a row has the table's columns as attributes."""


@dataclass(frozen=True)
class JobRows:
    """What is stored of one job at one moment; all is empty of a job that is not known.

    Attributes:
        job_id: The job's id.
        tables: Its rows in each table.
    """

    job_id: str
    tables: Mapping[Table, Rows]

    @property
    def job(self) -> Any:
        """The job's own row, or None."""
        return self.tables[job].get(())

    @property
    def part(self) -> Any:
        """Our part in it, or None."""
        return self.tables[part].get(())

    def one(self, table: Table, *key: object) -> Any:
        """One row, or None."""
        return self.tables[table].get(key)

    def of(self, table: Table, *first: object) -> list[Any]:
        """The rows whose key begins so, in the order of their keys."""
        rows = self.tables[table]
        return [rows[key] for key in sorted(key for key in rows if key[: len(first)] == first)]

    def changed(self, table: Table, rows: Rows) -> JobRows:
        """The same with other rows of a table."""
        return JobRows(self.job_id, {**self.tables, table: {**self.tables[table], **rows}})

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        documents = [self.job.spec, self.job.proposal] if self.job is not None else []
        documents += [row.answer for row in self.tables[job_party].values()]
        return ROW_BYTES * (1 + sum(map(len, self.tables.values()))) + sum(map(len, documents))


def empty(job_id: str) -> JobRows:
    """A job of which nothing is stored."""
    return JobRows(job_id, {table: {} for table in KEPT})


def load(connection: Connection, job_id: str) -> JobRows:
    """What is stored of a job."""
    found = {}
    for table in KEPT:
        rows = connection.execute(select(table).where(OF_JOB[table] == job_id)).all()
        if table is job and not rows:
            return empty(job_id)
        made = [_FORM[table](*row) for row in rows]
        found[table] = {key_of(table, row): row for row in made}
    return JobRows(job_id, found)


def key_of(table: Table, row: object) -> Key:
    """The key of a row."""
    return tuple(getattr(row, column.name) for column in KEY[table])


def full(table: Table, values: Mapping[str, object]) -> Any:
    """A row of these values, and of what its table has where nothing is said."""
    return _FORM[table](**{**_EMPTY[table], **values})


class JobCache:
    """The jobs in memory. Safe to use from several threads; what is taken out never changes."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, tuple[JobRows, int]] = OrderedDict()  # with their sizes
        self._bytes = 0
        self._lock = Lock()
        self.changes = 0

    def find(self, job_id: str) -> JobRows | None:
        """What is known of a job."""
        with self._lock:
            if job_id not in self._jobs:
                return None
            self._jobs.move_to_end(job_id)
            return self._jobs[job_id][0]

    def keep(self, rows: JobRows, since: int) -> None:
        """What was read, unless anything was written after the moment `since` of `changes`."""
        with self._lock:
            if self.changes == since:
                self._put(rows)

    def replace(self, gone: Collection[str] | None, new: Collection[JobRows]) -> None:
        """What was written: these jobs (None: all) are no longer known, these are as they are now."""
        with self._lock:
            self.changes += 1
            for name in list(self._jobs) if gone is None else gone:
                self._drop(name)
            for rows in new:
                self._put(rows)

    def _put(self, rows: JobRows) -> None:
        self._drop(rows.job_id)
        size = rows.size
        self._jobs[rows.job_id] = rows, size
        self._bytes += size
        while len(self._jobs) > 1 and self._bytes > MOST_BYTES:
            self._drop(next(iter(self._jobs)))

    def _drop(self, job_id: str) -> None:
        if job_id in self._jobs:
            self._bytes -= self._jobs.pop(job_id)[1]
