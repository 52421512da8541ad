"""Executors that use more than they may, with control groups and without: ended, named with numbers, nothing left."""

from __future__ import annotations

import psutil
import pytest

from node_manager.client import EventKind, Resources
from node_manager.server import NodeService
from tests.fakes.nodes import Reader, eventually, make_config

PROCESSES, DISK = 64, 8 << 20
SMALL = Resources(memory_bytes=100 << 20)
ROOMY = Resources()


@pytest.fixture(scope="module", params=["groups", "watched"])
def node(request, tmp_path_factory):
    grouped = request.param == "groups"
    config = make_config(tmp_path_factory.mktemp(request.param), processes=PROCESSES, disk_bytes=DISK, groups=grouped)
    service = NodeService(config)
    service.start()
    enforcement = service._manager._supervisor.enforcement
    if grouped and not enforcement.has_groups:
        service.stop(5)
        pytest.skip(enforcement.text)
    yield service
    service.stop(5)
    assert not any(root.exists() for root in getattr(enforcement, "roots", {}).values())


@pytest.fixture(scope="module")
def reader(node):
    reader = Reader(node._config.socket)
    yield reader
    reader.close()


def left_of(node, order) -> list:
    """Groups and processes that are left of an order's executor."""
    enforcement = node._manager._supervisor.enforcement
    name = f"{order.job}/task-1-guest-a-i1"
    groups = [folder for folder in getattr(enforcement, "folders", lambda _: {})(name).values() if folder.exists()]
    return groups + psutil.Process(node._manager._supervisor.parent.pid).children(recursive=True)


@pytest.mark.parametrize(
    ("do", "given", "resources", "cause", "limit", "says"),
    [
        ("grow", {"count": 400}, SMALL, "memory", 100 << 20, "MiB of 100.0 MiB."),
        ("linger", {"count": 400, "seconds": 300.0}, SMALL, "memory", 100 << 20, "MiB of 100.0 MiB."),
        ("bomb", {"count": 200}, ROOMY, "processes", PROCESSES, f"of {PROCESSES} processes."),
        ("fill", {"count": 16}, ROOMY, "disk", DISK, "MiB of 8.0 MiB."),
        ("fill", {"count": 16, "where": "unnamed"}, ROOMY, "disk", DISK, "MiB of 8.0 MiB."),
    ],
)
def test_who_uses_too_much_is_ended_with_all_it_started_and_named(
    node, client, reader, order_of, do, given, resources, cause, limit, says
):
    order = order_of(do, resources=resources, **given)
    client.start(order)
    body = reader.final(order).body
    assert (body["cause"], body["limit"]) == (cause, limit)
    assert body["used"] >= limit
    assert says in body["text"]
    eventually(lambda: not left_of(node, order))


def test_who_keeps_to_its_limits_is_left_alone(node, client, reader, order_of):
    order = order_of("fill", count=6, resources=SMALL)
    client.start(order)
    reader.of(order, EventKind.STARTED)
    supervisor = node._manager._supervisor
    (running,) = supervisor._executors.all()
    supervisor.overruns.check([running], thorough=True)
    assert running.decided is None
    assert supervisor.enforcement.holds(running.key.folder) == supervisor.enforcement.has_groups
    client.stop(order.job, grace_s=0.1)
    eventually(lambda: not left_of(node, order))


def test_who_left_its_session_and_hears_no_signal_ends_with_its_executor(node, client, reader, order_of):
    order = order_of("linger", seconds=300.0)
    client.start(order)
    reader.of(order, EventKind.LOG)
    client.stop(order.job, grace_s=0.1)
    assert reader.final(order).body["cause"] == "stopped"
    eventually(lambda: not left_of(node, order))


def test_a_node_that_comes_back_removes_groups_that_nobody_is_in(node):
    enforcement = node._manager._supervisor.enforcement
    if not enforcement.has_groups:
        pytest.skip("there are none to be left")
    supervisor = node._manager._supervisor
    enforcement.make("old/task-1-guest-a-i1", supervisor.overruns.limits(SMALL))
    enforcement.keep_only([])
    assert not any(folder.exists() for folder in enforcement.folders("old/task-1-guest-a-i1").values())


def test_the_status_says_how_limits_are_held(node, client):
    status = next(client.watch())
    grouped = node._manager._supervisor.enforcement.has_groups
    assert ("held by control groups" if grouped else "watched, and ended") in status.limits_text
    assert status.pressure == ""
