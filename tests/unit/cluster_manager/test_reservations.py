"""What is promised, and the cluster's record of news."""

from __future__ import annotations

import threading
import time

import pytest

from cluster_manager import reservations
from cluster_manager.errors import NoRoom, ReservationExpired
from cluster_manager.placement import Amount
from cluster_manager.reservations import ClusterStore
from node_manager.client import EventKind, ExecutorEvent
from party.ids import AttemptId

ONE = Amount(1, 1 << 30, 0)


def attempt(n=1):
    return AttemptId("JOB1", "task", n)


def event(own, job="JOB1"):
    return ExecutorEvent(
        schema=1, job=job, task="t", attempt=1, address="guest:a", incarnation=1, sequence=own, at_ms=0,
        kind=EventKind.METRIC, body={"name": "loss", "step": own, "value": 0.5},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite")
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
    assert store.reserved() == {"unix:n": Amount(2, 2 << 30, 0)}


def test_the_same_question_again_is_the_same_reservation_with_a_new_lease(store):
    first = reserve(store, lease_s=0.3)
    assert reserve(store, lease_s=60).id == first.id
    time.sleep(0.4)
    assert store.begin(first.id) == first


def test_another_size_for_the_same_side_is_a_new_reservation(store):
    first = reserve(store)
    second = reserve(store, amount=Amount(2, 1 << 30, 0))
    assert second.id != first.id
    assert store.reserved() == {"unix:n": Amount(2, 1 << 30, 0)}


def test_a_lease_that_ran_out_frees_the_room_and_refuses_the_start(store):
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


def test_nothing_is_promised_when_there_is_no_room(store):
    def full(reserved):
        raise NoRoom("full")

    with pytest.raises(NoRoom):
        store.reserve(attempt(), "guest:a", ONE, 60, full)
    assert store.reserved() == {}


def test_reservations_and_places_survive_a_reopening(tmp_path):
    store = ClusterStore(tmp_path / "c.sqlite")
    made = reserve(store)
    assert store.add_node("unix:n")
    assert not store.add_node("unix:n")
    store.take("unix:n", "e1", 7, event(1))
    store.close()
    again = ClusterStore(tmp_path / "c.sqlite")
    assert again.begin(made.id) == made
    assert again.cursor("unix:n", "e1") == 7
    assert again.cursor("unix:n", "e2") == 0
    assert again.cursor("unix:other", "e1") == 0
    again.remove_node("unix:n")
    assert again.nodes() == []
    again.close()


def test_an_event_taken_twice_is_told_once(store):
    store.add_node("unix:n")
    for sequence, own in ((1, 1), (2, 2), (1, 1), (3, 3)):
        store.take("unix:n", "e", sequence, event(own))
    assert [e.sequence for _, e in store.after(0, 0)] == [1, 2, 3]


def test_readers_wait_and_are_woken(store):
    heard = []
    reader = threading.Thread(target=lambda: heard.append(store.after(0, 30)))
    reader.start()
    store.take("unix:n", "e", 1, event(1))
    reader.join(5)
    assert len(heard[0]) == 1
    store.wake()
    assert store.closed
    assert store.after(9, 30) == []


def test_the_end_of_a_job_frees_its_room_and_later_its_news(store, monkeypatch):
    reserve(store)
    store.take("unix:n", "e", 1, event(1))
    store.end_job("JOB1")
    assert store.reserved() == {}
    assert len(store.after(0, 0)) == 1
    monkeypatch.setattr(reservations, "KEEP_ENDED_S", -1)
    store.end_job("JOB2")
    assert store.after(0, 0) == []
