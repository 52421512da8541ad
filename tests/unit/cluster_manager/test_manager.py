"""Which nodes a Cluster Manager has."""

from __future__ import annotations

import pytest

from cluster_manager.manager import ClusterManager
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
