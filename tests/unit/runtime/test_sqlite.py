"""Writers of one file share commits and fail alone; tables are brought up to date once."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.disk.sqlite import Database
from runtime.errors import Conflict, NewerDatabase

SENT = ("CREATE TABLE sent (key TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;",)


def test_tables_are_made_once_and_changed_by_what_the_file_lacks(tmp_path: Path) -> None:
    for versions in (SENT, SENT, (*SENT, "ALTER TABLE sent ADD COLUMN size INTEGER NOT NULL DEFAULT 7;")):
        database = Database(tmp_path / "x.sqlite", versions)
        database.write(lambda rows: rows.execute("INSERT OR IGNORE INTO sent (key, job) VALUES ('K', 'J')"))
        found = database.read("SELECT * FROM sent")
        database.close()
    assert found == [("K", "J", 7)]
    with pytest.raises(NewerDatabase, match="schema 2; this release reads up to 1"):
        Database(tmp_path / "x.sqlite", SENT)


def test_writers_that_wait_share_a_commit_and_fail_alone(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SENT)
    failures: list[int] = []

    def write(n: int) -> None:
        def work(rows: sqlite3.Connection) -> None:
            rows.execute("INSERT INTO sent VALUES (?, 'J')", (f"key {n}",))
            if n % 5 == 0:
                raise Conflict("no")

        try:
            database.write(work)
        except Conflict:
            failures.append(n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(failures) == list(range(0, 50, 5))
    assert database.read("SELECT count(*) FROM sent") == [(40,)]
    with pytest.raises(ZeroDivisionError):
        database.write(lambda rows: 1 / 0)
    assert database.write(lambda rows: rows.execute("SELECT count(*) FROM sent").fetchone()) == (40,)
    database.close()


def together(database: Database, works: list[Callable[[sqlite3.Connection], object]]) -> list[object]:
    """What each of the works returned or raised, all in one batch; fails if one is never answered."""
    outcomes: list[object] = ["hangs"] * len(works)

    def write(n: int) -> None:
        try:
            outcomes[n] = database.write(works[n])
        except sqlite3.Error as error:
            outcomes[n] = error

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(len(works))]
    with database._write_lock:
        for n, thread in enumerate(threads, 1):
            thread.start()
            while len(database._queue) < n:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert "hangs" not in outcomes
    return outcomes


def insert(key: str, size: int = 1) -> Callable[[sqlite3.Connection], object]:
    def work(rows: sqlite3.Connection) -> str:
        rows.execute("INSERT INTO sent VALUES (?, ?)", (key, "J" * size))
        return key

    return work


def test_a_full_disk_acknowledges_nothing_that_is_not_stored_and_nobody_hangs(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SENT)
    (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
    database._writer.execute(f"PRAGMA max_page_count = {pages + 3}")
    outcomes = together(database, [insert("a"), insert("b", 100_000), insert("c")])
    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in outcomes)
    assert database.read("SELECT key FROM sent") == []
    database._writer.execute("PRAGMA max_page_count = 10000")
    assert together(database, [insert("a"), insert("b")]) == ["a", "b"]
    assert database.read("SELECT key FROM sent") == [("a",), ("b",)]
    database.close()


class LockedOnce:
    """A connection whose first transaction cannot begin."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._locked = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if self._locked and query.startswith("BEGIN"):
            self._locked = False
            raise sqlite3.OperationalError("database is locked")
        return self._connection.execute(query, values)


def test_a_file_locked_for_a_moment_leaves_no_writer_hanging(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SENT)
    database._writer = LockedOnce(database._writer)  # type: ignore[assignment]
    outcomes = together(database, [insert("a"), insert("b"), insert("c")])
    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in outcomes)
    assert together(database, [insert("a"), insert("b")]) == ["a", "b"]
    database.close()
