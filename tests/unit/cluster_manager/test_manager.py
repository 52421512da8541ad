"""Which nodes a Cluster Manager has."""

from __future__ import annotations

import pytest

from cluster_manager.manager import ClusterManager
from cluster_manager.queue import Turn
from cluster_manager.reservations import Owed
from node_manager.client import NodeStatus, Resources
from node_manager.errors import NodeUnavailable
from party.ids import AttemptId
from tests.fakes.nodes import make_order

ONE, OTHER = "unix:/nowhere/one", "unix:/nowhere/other"
SMALL = Resources(cores=1, memory_bytes=1 << 30)


@pytest.fixture
def manager_of(tmp_path):
    """A Cluster Manager over one database, as often as it is begun: each of its nodes has been heard from."""
    begun = []

    def make(*nodes):
        while begun:
            begun.pop().close()
        manager = ClusterManager(tmp_path / "c.sqlite", list(nodes))
        begun.append(manager)
        manager.begin()
        for address in nodes:
            member = manager._members.at(address)
            member.status = NodeStatus(schema=1, node=address, cores=2, memory_bytes=2 << 30, gpus=0)
            member.silent = lambda now: False
        return manager

    yield make
    begun.pop().close()


def test_a_node_that_the_settings_name_no_more_is_none(manager_of):
    manager_of(ONE, OTHER)
    manager = manager_of(ONE)
    assert [status.node for status in manager.nodes()] == [ONE]
    assert "64 cores wanted" in manager.could_fit([Resources(cores=64)])


def test_what_was_reserved_on_a_node_that_is_gone_is_reserved_anew(manager_of):
    order = make_order()
    attempt = AttemptId(order.job, order.task, order.attempt)
    first = manager_of(OTHER).reserve(attempt, "guest:a", SMALL, 60)
    manager = manager_of(ONE)
    with pytest.raises(NodeUnavailable, match="no longer one of ours"):
        manager.start(first.id, order)
    second = manager.reserve(attempt, "guest:a", SMALL, 60)
    assert (second.host, second.id != first.id) == (ONE, True)
    assert manager.reserve(attempt, "guest:a", SMALL, 60) == second


def go(member):
    """Let a node be silent for longer than it may."""
    del member.silent
    member.heard_at, member.last_heard_at = -6.0, member.last_heard_at - 61


class Door:
    """A node's door that writes down what it is told; `broken` lets it fail."""

    def __init__(self):
        self.told, self.broken = [], False

    def stop(self, job, task, attempt, grace_s):
        self._say("stop", job, task, attempt)

    def clean(self, job):
        self._say("clean", job)

    def watch(self):
        raise NodeUnavailable("It does not answer.")

    def close(self):
        pass

    def _say(self, *what):
        if self.broken:
            raise NodeUnavailable("It does not answer.")
        self.told.append(what)


def test_a_node_that_is_gone_holds_up_nobody_and_is_told_once_it_is_back(manager_of):
    manager = manager_of(ONE, OTHER)
    one, other = manager._members.at(ONE), manager._members.at(OTHER)
    one.client, other.client = Door(), Door()
    one.client.broken = True
    with pytest.raises(NodeUnavailable):
        manager.stop("01J", "train", 1, 5.0)
    go(one)
    assert [status.state for status in manager.nodes()] == ["gone", "up"]
    manager.stop("01J", "train", 1, 5.0)
    manager.end_job("01J")
    assert other.client.told == [("stop", "01J", "train", 1)] * 2 + [("clean", "01J")]
    with pytest.raises(NodeUnavailable):
        manager._back(one)
    one.client.broken = False
    manager._back(one)
    manager._back(one)
    assert one.client.told == [("stop", "01J", "train", 1), ("clean", "01J")]


def test_a_node_that_fails_just_as_it_is_back_keeps_no_other_from_being_asked(manager_of):
    manager = manager_of(ONE, OTHER)
    one, other = manager._members.at(ONE), manager._members.at(OTHER)
    one.client, other.client = Door(), Door()
    one.client.broken = True
    manager._members.gone = lambda member: member is one  # it was when it was looked at, and is back by now
    with pytest.raises(NodeUnavailable):
        manager.stop("01J", "train", 1, 5.0)
    assert other.client.told == [("stop", "01J", "train", 1)]


def test_what_runs_on_a_node_that_is_gone_moves_where_there_is_room_and_ends_there_once_it_is_back(manager_of):
    order = make_order()
    attempt = AttemptId(order.job, order.task, order.attempt)
    manager = manager_of(ONE, OTHER)
    held = manager.reserve_all(attempt, {"guest:a": SMALL, "host:a": SMALL}, 60, Turn(0, 0, ""))
    for room in held.values():
        manager._store.begin(room.id)
    one, gone = manager._members.at(held["guest:a"].host), held["guest:a"].id
    one.client = Door()
    assert manager.displaced() == []
    go(one)
    assert manager.displaced() == [gone]
    other = AttemptId(order.job, "other", 1)
    taken = manager.reserve(other, "guest:a", SMALL, 60)
    assert manager.displaced() == []
    manager.release(taken.id)
    manager.release(gone)
    manager._back(one)
    assert one.client.told == [("stop", order.job, order.task, order.attempt)]


def test_a_node_not_heard_from_since_we_began_is_told_as_well(manager_of):
    manager = manager_of(ONE)
    one = manager._members.at(ONE)
    one.client, one.status = Door(), None
    del one.silent
    one.client.broken = True
    manager.end_job("01J")
    one.client.broken = False
    assert manager._back(one)
    assert not manager._back(one)
    assert one.client.told == [("clean", "01J")]


def test_what_is_owed_to_a_node_that_is_back_meanwhile_is_told_at_once(manager_of):
    manager = manager_of(ONE)
    one = manager._members.at(ONE)
    one.client = Door()
    manager._leave_word(one, Owed("01J", clean=True))
    assert one.client.told == [("clean", "01J")]
    assert not manager._back(one)
