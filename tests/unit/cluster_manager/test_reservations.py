"""What is promised."""

from __future__ import annotations

import sqlite3
import time

import pytest

from cluster_manager.errors import NoCapacity, ReservationExpired
from cluster_manager.reservations import ClusterStore
from node_manager.client import Resources
from party.ids import AttemptId

ONE = Resources(cores=1, memory_bytes=1 << 30)


def attempt(n=1):
    return AttemptId("JOB1", "task", n)


@pytest.fixture
def store(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    yield store
    store.close()


def reserve(store, n=1, lease_s=60.0, amount=ONE, where="unix:n"):
    return store.reserve(attempt(n), "guest:a", amount, lease_s, lambda reserved: where)


def test_a_reservation_counts_until_it_is_given_back(store):
    made = reserve(store)
    assert store.reserved() == {"unix:n": ONE}
    store.release(made.id)
    store.release(made.id)
    assert store.reserved() == {}


def test_placement_sees_what_is_reserved_already(store):
    reserve(store, 1)
    seen = []
    store.reserve(attempt(2), "guest:a", ONE, 60, lambda reserved: seen.append(reserved) or "unix:n")
    assert seen == [{"unix:n": ONE}]
    assert store.reserved() == {"unix:n": ONE + ONE}


def test_the_same_question_again_is_the_same_reservation_with_a_new_lease(store):
    first = reserve(store, lease_s=0.3)
    assert reserve(store, lease_s=60).id == first.id
    time.sleep(0.4)
    assert store.begin(first.id) == first


def test_another_size_for_the_same_side_is_a_new_reservation(store):
    first = reserve(store)
    second = reserve(store, amount=Resources(cores=2, memory_bytes=1 << 30))
    assert second.id != first.id
    assert store.reserved() == {"unix:n": Resources(cores=2, memory_bytes=1 << 30)}


def test_a_lease_that_ran_out_holds_nothing_and_refuses_the_start(store):
    made = reserve(store, lease_s=0.05)
    time.sleep(0.1)
    assert store.reserved() == {}
    with pytest.raises(ReservationExpired, match="Reserve again"):
        store.begin(made.id)


def test_a_started_reservation_does_not_expire_unless_nothing_was_started(store):
    made = reserve(store, lease_s=0.05)
    store.begin(made.id)
    time.sleep(0.1)
    assert store.reserved() == {"unix:n": ONE}
    assert store.begin(made.id) == made
    store.not_begun(made.id)
    assert store.reserved() == {}


def test_nothing_is_promised_when_no_node_can_bear_it(store):
    def full(reserved):
        raise NoCapacity("full")

    with pytest.raises(NoCapacity):
        store.reserve(attempt(), "guest:a", ONE, 60, full)
    assert store.reserved() == {}


def test_reservations_survive_a_reopening(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    made = reserve(store)
    store.close()
    again = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    assert again.begin(made.id) == made
    again.close()


@pytest.mark.parametrize("version", [1, 2])
def test_of_an_older_release_only_its_reservations_are_kept(tmp_path, version):
    first = (
        "CREATE TABLE node (address TEXT PRIMARY KEY, epoch TEXT NOT NULL, cursor INTEGER NOT NULL);"
        "CREATE TABLE news (sequence INTEGER PRIMARY KEY, event TEXT NOT NULL);"
        "CREATE TABLE ended (job TEXT PRIMARY KEY, at REAL NOT NULL);"
    )
    second = "CREATE TABLE node (address TEXT PRIMARY KEY);"
    with sqlite3.connect(tmp_path / "c.sqlite") as old:
        old.executescript(
            (first if version == 1 else second)
            + "CREATE TABLE reservation (id TEXT PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL,"
            " attempt INTEGER NOT NULL, address TEXT NOT NULL, host TEXT NOT NULL, cores INTEGER NOT NULL,"
            " memory_bytes INTEGER NOT NULL, gpus INTEGER NOT NULL, lease_until REAL NOT NULL,"
            " started INTEGER NOT NULL DEFAULT 0, UNIQUE (job, task, attempt, address));"
            "INSERT INTO reservation VALUES ('r', 'JOB1', 'task', 1, 'guest:a', 'unix:n', 1, 1073741824, 0, 0, 1);"
            f"PRAGMA user_version = {version};"
        )
    for _ in range(2):
        store = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
        assert store.reserved() == {"unix:n": ONE}
        store.close()
    with sqlite3.connect(tmp_path / "c.sqlite") as new:
        assert [*new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")] == [("reservation",)]


def test_the_end_of_a_job_gives_its_reservations_back(store):
    reserve(store)
    store.end_job("JOB1")
    store.end_job("JOB1")
    assert store.reserved() == {}
