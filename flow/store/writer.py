"""One transaction on Flow's database: rows and events are written through it, and memory follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, insert, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.sql import Executable
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.schema import Table

from flow.errors import Moved
from flow.store import tables
from flow.store.job_cache import KEPT, KEY, OF_JOB, JobCache, JobRows, Key, empty, full, key_of, load
from runtime.clock import Clock, HybridTime, now_ms

EVENTS_AT_ONCE = 500


class Writer:
    """One transaction.

    Attributes:
        seen: The jobs that it looked at or changed, as it leaves them.
        at_end: Who waits for jobs to end, if anybody does.
        unseen: Whether it changed rows that are kept in memory in a way that memory cannot follow.
    """

    def __init__(self, connection: Connection, live: JobCache, tick: Callable[[], HybridTime], clock: Clock) -> None:
        self.connection = connection
        self.now_ms = now_ms(clock)
        self.newest = 0
        self.seen: dict[str, JobRows] = {}
        self.unseen = False
        self.afterwards: list[Callable[[], None]] = []
        self.at_end: Callable[[], None] | None = None
        self._cache = live
        self._tick = tick
        self._events: list[dict[str, object]] = []

    def event(
        self,
        kind: str,
        job: str,
        *,
        place: tuple[str, int, str] = ("", 0, ""),
        body: Mapping[str, object] | None = None,
    ) -> None:
        """Write an event row with what else is written; `place` is (task, attempt, party) where they matter."""
        self._events.append(
            {
                "hlc": str(self._tick()),
                "kind": kind,
                "job": job,
                "task": place[0],
                "attempt": place[1],
                "party": place[2],
                "body": json.dumps(body or {}),
            }
        )

    def write_events(self) -> None:
        """The events of the transaction, which is complete; in the order in which they were told."""
        for start in range(0, len(self._events), EVENTS_AT_ONCE):
            rows = self._events[start : start + EVENTS_AT_ONCE]
            key = self.run(insert(tables.event).inline().values(rows if rows[1:] else rows[0])).lastrowid
            self.newest = key if self.connection.dialect.name == "sqlite" else key + len(rows) - 1

    def rows(self, job_id: str) -> JobRows:
        """What is stored of a job, as this transaction has left it so far."""
        found = self.seen.get(job_id)
        if found is None:
            kept = None if self.unseen else self._cache.find(job_id)
            found = self.seen[job_id] = kept if kept is not None else load(self.connection, job_id)
        return found

    def begin(self, job_id: str) -> None:
        """A job whose id was drawn just now: nothing of it is stored."""
        self.seen[job_id] = empty(job_id)

    def insert(self, table: Table, job_id: str, rows: Sequence[Mapping[str, object]]) -> list[Any]:
        """Insert those rows of a job whose key is not there yet; these."""
        known = self.rows(job_id).tables[table]
        made = {key_of(table, row): row for row in (full(table, row) for row in rows)}
        new = {key: row for key, row in made.items() if key not in known}
        self.insert_new(table, [asdict(row) for row in new.values()])
        self.seen[job_id] = self.seen[job_id].changed(table, new)
        return list(new.values())

    def change(
        self, table: Table, job_id: str, keys: Sequence[Key], changes: Mapping[str, Any], seen: str | None = None
    ) -> None:
        """Change rows of a job in the same way, which are in the state `seen` if one is named. Raises Moved."""
        rows = self.rows(job_id)
        old = {key: rows.one(table, *key) for key in keys}
        if any(row is None for row in old.values()):
            raise Moved(f"Rows of {table.name} of job {job_id} are gone.")
        new = {key: replace(row, **changes) for key, row in old.items()}
        if seen is None and new == old:
            return
        for where, members in _conditions(table, job_id, new):
            if seen is not None:
                where.append(table.c.state == seen)
            if self.run(update(table).where(*where).values(changes), followed=True).rowcount != members:
                what = "/".join(str(value) for value in (job_id, *keys[0]))
                raise Moved(f"{table.name} {what} is no longer '{seen}'." if seen else f"{table.name} {what} is gone.")
        self.seen[job_id] = rows.changed(table, new)

    def after_commit(self, act: Callable[[], None]) -> None:
        """Do something once this is stored, never if it is not."""
        self.afterwards.append(act)

    def note_end(self, job_id: str) -> None:
        """A job is over: whoever waits for that is to be told."""
        if self.at_end is not None:
            self.insert_new(tables.hook_call, [{"job": job_id, "tries": 0, "next_ms": self.now_ms}])
            self.after_commit(self.at_end)

    def run(self, statement: Executable, *, followed: bool = False) -> CursorResult[Any]:
        """Execute a statement. One that changes what is kept in memory, and is not `followed` there, empties memory."""
        if isinstance(statement, UpdateBase) and statement.table in KEPT and not followed:
            self.unseen = True
            self.seen.clear()
        result: Any = self.connection.execute(statement)
        return result  # type: ignore[no-any-return]

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert the rows whose unique key is not there yet; the first write wins."""
        if not rows:
            return
        if self.connection.dialect.name == "sqlite":
            self.connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
            return
        key = next(iter(table.primary_key.columns)).name
        self.connection.execute(mysql.insert(table).on_duplicate_key_update({key: table.c[key]}), rows)

    def put(self, table: Table, row: Mapping[str, object]) -> None:
        """Insert the row, or overwrite the one with the same primary key."""
        keys = [column.name for column in table.primary_key.columns]
        rest = {name: value for name, value in row.items() if name not in keys}
        if self.connection.dialect.name == "sqlite":
            self.connection.execute(
                sqlite.insert(table).values(row).on_conflict_do_update(index_elements=keys, set_=rest)
            )
            return
        self.connection.execute(mysql.insert(table).values(row).on_duplicate_key_update(rest))


def _conditions(table: Table, job_id: str, keys: Iterable[Key]) -> Iterator[tuple[list[ColumnElement[bool]], int]]:
    """What finds the rows with these keys of a job, in as few statements as keys that differ before their last part."""
    groups: dict[Key, list[Key]] = {}
    for key in keys:
        groups.setdefault(key[:-1], []).append(key)
    for first, members in groups.items():
        where = [OF_JOB[table] == job_id, *(column == value for column, value in zip(KEY[table], first, strict=False))]
        if KEY[table]:
            last, values = KEY[table][-1], [key[-1] for key in members]
            where.append(last.in_(values) if values[1:] else last == values[0])
        yield where, len(members)
