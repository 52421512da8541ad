"""A service's own SQLite file: one writer that commits waiting writes together, one reader beside it, one versioning.

Durability `process` means that a commit survives the end of any process (WAL, synchronous NORMAL); with `power` every
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

from runtime.disk.files import keep_private
from runtime.disk.reserve import Reserve
from runtime.disk.room import require_room
from runtime.errors import NewerDatabase, PlatformError

Durability = Literal["process", "power"]
T = TypeVar("T")


class Database:
    """One open file."""

    def __init__(self, path: Path, versions: Sequence[str], durability: Durability = "power") -> None:
        """Open the file, made if it is absent, and bring its tables up to date.

        Args:
            path: The file.
            versions: What makes each version of the tables of the one before; the first makes them of nothing.
            durability: What a commit survives.

        Raises:
            NewerDatabase: A newer release wrote it.
        """
        self._path = path
        self._reserve = Reserve(path)
        self._queue: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = []
        self._queue_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        keep_private(path)
        self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        self._upgrade(path, versions)
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

    def require_room(self) -> None:
        """Raise DiskFull where the disk has no room for what may wait: what ends or deletes something does not ask."""
        require_room(self._path)

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
            self._reserve.adjust()
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

    def _upgrade(self, path: Path, versions: Sequence[str]) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > len(versions):
            raise NewerDatabase(
                f"{path} has schema {version}; this release reads up to {len(versions)}.",
                hint="Use the release that wrote it, or move the file away once its jobs have ended.",
            )
        if missing := versions[version:]:
            self._writer.executescript(f"BEGIN; {''.join(missing)} PRAGMA user_version = {len(versions)}; COMMIT;")
