"""The node's own record of news: every executor event once, under one sequence, and how far each log was read.

SQLite, one writer. The events of a log and the place up to which it was read are stored in one transaction; that is
what makes the tailing of an event log exact across a restart.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node_manager.allowance import Spent
from node_manager.events import ExecutorEvent

KEEP_CLEANED_S = 3600
_BATCH = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (epoch TEXT NOT NULL, schema INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS news (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, folder TEXT NOT NULL, own INTEGER NOT NULL,
    event TEXT NOT NULL, UNIQUE (folder, own)
);
CREATE INDEX IF NOT EXISTS news_job ON news (job);
CREATE TABLE IF NOT EXISTS tail (
    folder TEXT PRIMARY KEY, job TEXT NOT NULL, offset INTEGER NOT NULL, own INTEGER NOT NULL, final INTEGER NOT NULL,
    ended INTEGER NOT NULL, spent TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS cleaned (job TEXT PRIMARY KEY, at REAL NOT NULL);
"""
_NOW = "(julianday('now') - 2440587.5) * 86400.0"


@dataclass(frozen=True)
class Place:
    """How far one event log was read.

    Attributes:
        offset: Bytes of whole lines read.
        own: The highest sequence of the executor's own numbering seen, 0 before the first.
        final: Whether a last word (succeeded, failed or lost) was among them.
        ended: Whether the end of the process is recorded too.
        spent: By kind, what was taken of it and how much was left out.
    """

    offset: int = 0
    own: int = 0
    final: bool = False
    ended: bool = False
    spent: Mapping[str, Spent] = field(default_factory=dict)


class NewsStore:
    """The news of one node; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._readers: dict[int, int] = {}
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        if "spent" not in {row[1] for row in self._db.execute("PRAGMA table_info(tail)")}:  # of an older release
            self._db.execute("ALTER TABLE tail ADD COLUMN spent TEXT NOT NULL DEFAULT '{}'")
        row = self._db.execute("SELECT epoch FROM about").fetchone()
        self.epoch: str = row[0] if row else uuid.uuid4().hex
        if row is None:
            self._db.execute("INSERT INTO about VALUES (?, 1)", (self.epoch,))

    def place(self, folder: str) -> Place:
        """How far the log in `folder` was read."""
        with self._changed:
            query = "SELECT offset, own, final, ended, spent FROM tail WHERE folder = ?"
            row = self._db.execute(query, (folder,)).fetchone()
        if row is None:
            return Place()
        spent = {kind: Spent(*counts) for kind, counts in json.loads(row[4]).items()}
        return Place(row[0], row[1], bool(row[2]), bool(row[3]), spent)

    def add(self, folder: str, job: str, events: Sequence[ExecutorEvent], place: Place) -> None:
        """Record events and the new place of their log together; an event already recorded is passed over."""
        rows = [(job, folder, event.sequence, event.model_dump_json(by_alias=True)) for event in events]
        with self._changed:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR IGNORE INTO news (job, folder, own, event) VALUES (?, ?, ?, ?)", rows)
                self._db.execute(
                    "INSERT OR REPLACE INTO tail VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (folder, job, place.offset, place.own, place.final, place.ended, json.dumps(dict(place.spent))),
                )
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:  # on a full disk SQLite has given it up itself
                    self._db.execute("ROLLBACK")
                raise
            self._changed.notify_all()

    def after(self, since: int, wait_s: float) -> list[tuple[int, ExecutorEvent]]:
        """News after `since`, oldest first, some at a time; waits up to `wait_s` for the first."""
        with self._changed:
            rows = self._read(since)
            if not rows and not self._closed:
                self._changed.wait(wait_s)
                rows = self._read(since)
        return [(sequence, ExecutorEvent.model_validate_json(event)) for sequence, event in rows]

    def last(self) -> int:
        """The last sequence given out."""
        with self._changed:
            return self._last()

    @contextmanager
    def reader(self, since: int) -> Iterator[Reader]:
        """Somebody who reads news after `since` one after the other, and whose place counts in `unread`."""
        reader = Reader(self, since)
        with self._changed:
            self._readers[id(reader)] = since
        try:
            yield reader
        finally:
            with self._changed:
                del self._readers[id(reader)]

    def is_at(self, reader: Reader) -> None:
        """Note how far a reader is."""
        with self._changed:
            self._readers[id(reader)] = reader.since

    def unread(self) -> int:
        """How many news the slowest reader has not taken; 0 if nobody reads."""
        with self._changed:
            return max(0, self._last() - min(self._readers.values())) if self._readers else 0

    def clean(self, job: str) -> None:
        """Mark a job as over; its news are kept for a while for readers that are behind, then forgotten."""
        with self._changed:
            self._db.execute(f"INSERT OR REPLACE INTO cleaned VALUES (?, {_NOW})", (job,))  # noqa: S608  a constant
            old = f"SELECT job FROM cleaned WHERE at < {_NOW} - {KEEP_CLEANED_S}"  # noqa: S608  constants
            for table in ("news", "tail", "cleaned"):
                self._db.execute(f"DELETE FROM {table} WHERE job IN ({old})")  # noqa: S608  names listed above

    def wake(self) -> None:
        """Let every waiting reader return now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        self.wake()
        with self._changed:
            self._db.close()

    def _last(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'news'").fetchone()
        return int(row[0]) if row else 0

    def _read(self, since: int) -> list[tuple[int, str]]:
        query = "SELECT sequence, event FROM news WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return self._db.execute(query, (since, _BATCH)).fetchall()


class Reader:
    """One who follows the news."""

    def __init__(self, news: NewsStore, since: int) -> None:
        self._news = news
        self.since = since

    def after(self, wait_s: float) -> Iterator[tuple[int, ExecutorEvent]]:
        """The next news, oldest first, some at a time; waits up to `wait_s` for the first."""
        for sequence, event in self._news.after(self.since, wait_s):
            self.since = sequence
            yield sequence, event
        self._news.is_at(self)
