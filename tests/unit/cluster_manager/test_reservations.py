"""What is promised."""

from __future__ import annotations

import sqlite3
import time

import pytest

from cluster_manager.claims import LAPSES_S
from cluster_manager.errors import ReservationExpired
from cluster_manager.queue import Claim, Turn, Wait
from cluster_manager.reservations import ClusterStore, Taken
from node_manager.client import HeldRoom, Resources
from party.ids import AttemptId

ONE = Resources(cores=1, memory_bytes=1 << 30)


@pytest.fixture
def store(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    yield store
    store.close()


def claim(n=1, *, job="JOB1", owner="", **sizes):
    sizes = {address.replace("_", ":"): size for address, size in sizes.items()} or {"guest:a": ONE}
    return Claim(AttemptId(job, "task", n), sizes, Turn(5, 7, owner))


def at(where):
    return lambda missing, taken: dict.fromkeys(missing.sizes, where)


def full(missing, taken):
    return Wait("full")


def reserve(store, n=1, lease_s=60.0, amount=ONE, where="unix:n"):
    return store.reserve(claim(n, guest_a=amount), lease_s, at(where))["guest:a"]


def test_a_reservation_counts_until_it_is_given_back(store):
    made = reserve(store)
    assert store.reserved() == {"unix:n": ONE}
    store.release(made.id)
    store.release(made.id)
    assert store.reserved() == {}


def test_placement_sees_what_is_reserved_already(store):
    reserve(store, 1)
    seen = []
    store.reserve(claim(2, job="JOB2"), 60, lambda missing, taken: seen.append(taken) or {"guest:a": "unix:n"})
    assert seen == [Taken({"unix:n": ONE}, {"": {"JOB1"}})]
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


def test_nothing_is_promised_when_there_is_no_room_but_its_place_is_kept(store):
    wanted = claim(guest_a=ONE, arbiter_a=ONE)
    assert store.reserve(wanted, 60, full) == Wait("full")
    assert store.reserved() == {}
    assert store.queue() == ([], Taken(claims=(wanted,)))
    made = store.reserve(wanted, 60, at("unix:n"))
    assert sorted(made) == ["arbiter:a", "guest:a"]
    held, taken = store.queue()
    assert {each.address: each for each in held} == made
    assert taken == Taken({"unix:n": ONE + ONE}, {"": {"JOB1"}})


def test_what_was_held_is_given_back_when_the_rest_finds_no_room_but_not_what_was_started(store):
    both = claim(guest_a=ONE, arbiter_a=ONE)
    reserve(store)
    store.reserve(both, 60, full)
    assert (store.reserved(), store.queue()[1].claims) == ({}, (both,))
    store.begin(reserve(store).id)
    store.reserve(both, 60, full)
    assert (store.reserved(), store.queue()[1].claims) == ({"unix:n": ONE}, (claim(arbiter_a=ONE),))


def pass_time(store, seconds):
    store._database.write(lambda rows: rows.execute("UPDATE claim SET until = until - ?", (seconds,)))


def test_a_claim_that_is_not_renewed_lapses(store):
    store.reserve(claim(), 60, full)
    pass_time(store, 0.6 * LAPSES_S)
    store.reserve(claim(), 60, full)
    pass_time(store, 0.6 * LAPSES_S)
    assert store.queue()[1].claims == (claim(),)
    pass_time(store, 0.6 * LAPSES_S)
    assert store.queue()[1].claims == ()


def test_a_task_has_one_claim_and_a_job_that_ended_none(store):
    store.reserve(claim(1), 60, full)
    store.reserve(claim(2), 60, full)
    store.reserve(claim(1, job="JOB2", owner="bank-b"), 60, full)
    assert store.queue()[1].claims == (claim(2), claim(1, job="JOB2", owner="bank-b"))
    store.end_job("JOB1")
    assert store.queue()[1].claims == (claim(1, job="JOB2", owner="bank-b"),)


def test_which_jobs_of_whom_have_room_is_known(store):
    for job, owner in (("JOB1", "ann"), ("JOB2", "ann"), ("JOB3", "bank-b")):
        store.reserve(claim(job=job, owner=owner, guest_a=ONE, arbiter_a=ONE), 60, at("unix:n"))
    assert store.queue()[1].at_work == {"ann": {"JOB1", "JOB2"}, "bank-b": {"JOB3"}}


def test_reservations_survive_a_reopening(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    made = reserve(store)
    store.close()
    again = ClusterStore(tmp_path / "c.sqlite", ["unix:n"])
    assert again.begin(made.id) == made
    again.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_of_an_older_release_only_its_reservations_are_kept(tmp_path, version):
    first = (
        "CREATE TABLE node (address TEXT PRIMARY KEY, epoch TEXT NOT NULL, cursor INTEGER NOT NULL);"
        "CREATE TABLE news (sequence INTEGER PRIMARY KEY, event TEXT NOT NULL);"
        "CREATE TABLE ended (job TEXT PRIMARY KEY, at REAL NOT NULL);"
    )
    older = (first, "CREATE TABLE node (address TEXT PRIMARY KEY);", "")
    with sqlite3.connect(tmp_path / "c.sqlite") as old:
        old.executescript(
            older[version - 1] + "CREATE TABLE reservation (id TEXT PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL,"
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
        tables = [name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert tables == ["reservation", "claim", "owed"]


def test_the_end_of_a_job_gives_its_reservations_back(store):
    reserve(store)
    store.end_job("JOB1")
    store.end_job("JOB1")
    assert store.reserved() == {}


def test_what_runs_is_reserved_again_by_its_name_once_the_file_is_lost(store):
    room = HeldRoom(reservation="R1", job="JOB1", task="task", attempt=1, address="guest:a", resources=ONE)
    assert (store.adopt("unix:n", [room]), store.adopt("unix:n", [room])) == (1, 0)
    assert store.reserved() == {"unix:n": ONE}
    assert store.begin("R1").attempt == AttemptId("JOB1", "task", 1)  # of its next incarnation
    store.release("R1")
    assert store.reserved() == {}


def test_what_is_known_to_be_reserved_stays_as_it_is(store):
    made = reserve(store)
    room = HeldRoom(reservation="R1", job="JOB1", task="task", attempt=1, address="guest:a", resources=ONE)
    assert store.adopt("unix:n", [room]) == 0
    assert store.begin(made.id) == made
