"""The gateway's SQLite file: one writer that commits waiting writes together, one reader beside it.

Durable means by default that a commit survives the end of any process (WAL, synchronous NORMAL); with `power` every
commit is synced to the disk before it returns, and writers that wait meanwhile share the next sync.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from gateway.errors import MailboxVersion
from runtime.disk.files import keep_private
from runtime.errors import PlatformError

Durability = Literal["process", "power"]
T = TypeVar("T")

SCHEMA_VERSION = 2
SCHEMA_1 = """
CREATE TABLE job (job TEXT PRIMARY KEY, contract BLOB) WITHOUT ROWID;
CREATE TABLE envelope (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    inward INTEGER NOT NULL,
    job TEXT NOT NULL,
    peer TEXT NOT NULL,
    large INTEGER NOT NULL,
    canonical BLOB NOT NULL,
    signature BLOB NOT NULL,
    size INTEGER NOT NULL,
    body BLOB,
    file TEXT,
    unread INTEGER NOT NULL
);
CREATE INDEX envelope_queue ON envelope (peer, large, sequence) WHERE inward = 0;
CREATE INDEX envelope_job ON envelope (job);
CREATE TABLE sent (key TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX sent_job ON sent (job);
CREATE TABLE inbox (
    key TEXT PRIMARY KEY, job TEXT NOT NULL, sender TEXT NOT NULL, sealed INTEGER NOT NULL, sha256 TEXT NOT NULL,
    envelope INTEGER, offset INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbox_job ON inbox (job);
CREATE TABLE refusal (
    job TEXT, task TEXT, attempt INTEGER, code TEXT, message TEXT, hint TEXT, PRIMARY KEY (job, task, attempt)
) WITHOUT ROWID;
CREATE TABLE token (
    job TEXT, task TEXT, address TEXT, attempt INTEGER NOT NULL, incarnation INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (job, task, address)
) WITHOUT ROWID;
CREATE UNIQUE INDEX token_digest ON token (digest);
CREATE TABLE ledger (
    sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, inward INTEGER NOT NULL, peer TEXT NOT NULL,
    job TEXT NOT NULL, what TEXT NOT NULL, messages INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    chain TEXT NOT NULL
);
CREATE INDEX ledger_job ON ledger (job) WHERE job <> '';
"""
SCHEMA_2 = """
CREATE TABLE spent (
    conversation TEXT PRIMARY KEY, job TEXT NOT NULL, numbers INTEGER NOT NULL, text_bytes INTEGER NOT NULL,
    names TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX spent_job ON spent (job);
CREATE TABLE answered (peer TEXT, id TEXT, until_ms INTEGER NOT NULL, PRIMARY KEY (peer, id)) WITHOUT ROWID;
CREATE INDEX answered_until ON answered (until_ms);
"""


class Database:
    """One open file."""

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self._queue: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = []
        self._queue_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        keep_private(path)
        self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        self._prepare(path)
        self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._reader.execute("PRAGMA query_only = ON")

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction and return once it is committed; its error undoes its part alone."""
        done: Future[T] = Future()
        with self._queue_lock:
            self._queue.append((work, done))
        with self._write_lock:
            if not done.done():
                self._commit_waiting()
        try:
            return done.result()
        finally:
            del done  # it holds the error, whose traceback holds this frame and with it the stream of a caller

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, as of the last commit."""
        with self._read_lock:
            return self._reader.execute(query, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def _commit_waiting(self) -> None:
        with self._queue_lock:
            batch, self._queue = self._queue, []
        outcomes: list[tuple[Future[Any], Any, Exception | None]] = []
        broken: Exception | None = sqlite3.OperationalError("the transaction was not committed")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for work, done in batch:
                outcomes.append((done, *self._attempt(work, alone=len(batch) == 1)))
            self._writer.execute("COMMIT")
            broken = None
        except sqlite3.Error as problem:
            broken = problem.with_traceback(None)  # `write` raises it; see there
        finally:
            if broken is not None:
                self._roll_back()
                outcomes = [(done, None, broken) for _, done in batch]
            for done, result, error in outcomes:
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

    def _attempt(self, work: Callable[[sqlite3.Connection], Any], *, alone: bool) -> tuple[Any, Exception | None]:
        """The result of `work`, or its error once its part is undone; raises if the whole transaction is to go."""
        if alone:  # the caller's own work
            return work(self._writer), None
        self._writer.execute("SAVEPOINT one")
        result, failure = None, None
        try:
            result = work(self._writer)
        except (PlatformError, sqlite3.Error, OSError) as error:
            failure = error.with_traceback(None)
        if not self._writer.in_transaction:  # SQLite itself gave it up, as it does on a full disk
            raise failure if isinstance(failure, sqlite3.Error) else sqlite3.OperationalError("given up") from failure
        if failure is not None:
            self._writer.execute("ROLLBACK TO one")
        return result, failure

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # what is wrong was raised already
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _prepare(self, path: Path) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise MailboxVersion(
                f"{path} has schema {version}; this release reads up to {SCHEMA_VERSION}.",
                hint="Use the release that wrote it, or move the file away once its jobs have ended.",
            )
        missing = (SCHEMA_1, SCHEMA_2)[version:]
        if missing:
            self._writer.executescript(f"BEGIN; {''.join(missing)} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
