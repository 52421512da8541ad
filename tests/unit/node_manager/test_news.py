"""The node's record of news."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from node_manager.allowance import Spent
from node_manager.events import EventKind, ExecutorEvent
from node_manager.news import NewsStore, Place


def event(n, job="JOB1"):
    return ExecutorEvent(
        schema=1, job=job, task="t", attempt=1, address="guest:a", incarnation=1, sequence=n, at_ms=n,
        kind=EventKind.LOG, body={"level": "info", "text": str(n)},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    store = NewsStore(tmp_path / "news.sqlite")
    yield store
    store.close()


def test_events_and_place_are_kept_together_across_a_reopening(tmp_path):
    store = NewsStore(tmp_path / "n.sqlite")
    store.add("f", "JOB1", [event(1), event(2)], Place(100, 2))
    epoch = store.epoch
    store.close()
    again = NewsStore(tmp_path / "n.sqlite")
    assert again.epoch == epoch
    assert again.place("f") == Place(100, 2)
    assert [s for s, _ in again.after(0, 0)] == [1, 2]
    again.close()


def test_an_event_recorded_before_is_passed_over(store):
    store.add("f", "JOB1", [event(1)], Place(10, 1))
    store.add("f", "JOB1", [event(1), event(2)], Place(20, 2))
    assert [e.sequence for _, e in store.after(0, 0)] == [1, 2]


def test_nothing_is_recorded_when_the_place_cannot_be(store):
    with pytest.raises(sqlite3.Error):
        store.add("f", "JOB1", [event(1)], Place(offset=None))
    assert store.after(0, 0) == []


def test_the_place_of_an_older_release_is_kept_and_has_spent_nothing(tmp_path):
    with sqlite3.connect(tmp_path / "n.sqlite") as old:
        old.execute(
            "CREATE TABLE tail (folder TEXT PRIMARY KEY, job TEXT NOT NULL, offset INTEGER NOT NULL,"
            " own INTEGER NOT NULL, final INTEGER NOT NULL, ended INTEGER NOT NULL)"
        )
        old.execute("INSERT INTO tail VALUES ('f', 'JOB1', 100, 2, 0, 0)")
    store = NewsStore(tmp_path / "n.sqlite")
    assert store.place("f") == Place(100, 2)
    store.add("f", "JOB1", [], Place(200, 3, spent={"log": Spent(1, 2, 3)}))
    store.close()
    again = NewsStore(tmp_path / "n.sqlite")
    assert again.place("f").spent == {"log": Spent(1, 2, 3)}
    again.close()


def test_what_the_slowest_reader_has_not_taken_is_unread(store):
    store.add("f", "JOB1", [event(1), event(2), event(3)], Place(10, 3))
    assert store.unread() == 0, "nobody reads"
    with store.reader(0) as slow, store.reader(3):
        assert store.unread() == 3
        assert [sequence for sequence, _ in slow.after(0)] == [1, 2, 3]
        assert store.unread() == 0
    assert store.unread() == 0


def test_a_waiting_reader_is_woken_by_news_and_by_the_end(store):
    heard = []
    reader = threading.Thread(target=lambda: heard.append(store.after(0, 30)))
    reader.start()
    store.add("f", "JOB1", [event(1)], Place(10, 1))
    reader.join(5)
    assert len(heard[0]) == 1
    reader = threading.Thread(target=lambda: heard.append(store.after(99, 30)))
    reader.start()
    store.wake()
    reader.join(5)
    assert heard[1] == []


def test_the_news_of_a_job_outlive_it_for_a_while_and_sequences_never_return(store, monkeypatch):
    store.add("f", "JOB1", [event(1)], Place(10, 1))
    store.clean("JOB1")
    assert len(store.after(0, 0)) == 1
    monkeypatch.setattr("node_manager.news.KEEP_CLEANED_S", -1)
    store.clean("JOB2")
    assert store.after(0, 0) == []
    assert store.place("f") == Place()
    store.add("g", "JOB3", [event(1, "JOB3")], Place(10, 1))
    assert store.after(0, 0)[0][0] == 2
    assert store.last() == 2
