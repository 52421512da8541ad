"""An error of a write holds nothing of its caller: neither alone nor among others, neither ours nor the database's."""

from __future__ import annotations

import gc
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.disk.sqlite import Database
from runtime.errors import NotFound


class Stream:
    """What a caller holds while it writes."""


def of_ours(_: sqlite3.Connection) -> None:
    raise NotFound("There is none.")


def of_the_database(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO nowhere VALUES (1)")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.sqlite", ())
    gc.disable()
    yield database
    gc.enable()
    database.close()


def caller(database: Database, work: Callable[[sqlite3.Connection], None], held: list[weakref.ref[Stream]]) -> None:
    stream = Stream()
    held.append(weakref.ref(stream))
    with suppress(NotFound, sqlite3.Error):
        database.write(work)


@pytest.mark.parametrize("work", [of_ours, of_the_database])
def test_a_write_that_fails_alone_holds_no_caller(
    database: Database, work: Callable[[sqlite3.Connection], None]
) -> None:
    held: list[weakref.ref[Stream]] = []
    caller(database, work, held)
    assert held[0]() is None


@pytest.mark.parametrize("work", [of_ours, of_the_database])
def test_a_write_that_fails_among_others_holds_no_caller(
    database: Database, work: Callable[[sqlite3.Connection], None]
) -> None:
    held: list[weakref.ref[Stream]] = []
    begun, others_wait = threading.Event(), threading.Event()

    def first(_: sqlite3.Connection) -> None:
        begun.set()
        others_wait.wait(20)

    threads = [threading.Thread(target=caller, args=(database, first, held))]
    threads[0].start()
    begun.wait(20)
    for each in (lambda _: None, work, work):
        threads.append(threading.Thread(target=caller, args=(database, each, held)))
        threads[-1].start()
    while len(database._queue) < 3:
        pass
    others_wait.set()
    for thread in threads:
        thread.join(20)
    assert [ref() for ref in held] == [None] * 4
