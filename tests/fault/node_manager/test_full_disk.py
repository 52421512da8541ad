"""A node whose disk is full: it says so, loses nothing of what it knows, and goes on when there is room."""

from __future__ import annotations

import json

import pytest

from node_manager.client import NodeClient
from node_manager.folders import EXIT, ExecutorKey
from node_manager.server import NodeService
from node_manager.supervisor.supervisor import EXIT_FILE_WAIT_S
from runtime.errors import DiskFull
from tests.fakes.disks import fill, small_disk
from tests.fakes.nodes import JOB, eventually, make_config, make_order


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with small_disk(tmp_path_factory.mktemp("n") / "n", "4m") as folder:
        yield folder


@pytest.fixture(scope="module")
def node(disk):
    sockets = {"socket": disk.parent / "node.sock", "doorbell": disk.parent / "bell.sock"}
    service = NodeService(make_config(disk, **sockets))
    service.start()
    yield service
    service.stop(5)


@pytest.fixture(scope="module")
def client(node):
    client = NodeClient(node._config.socket)
    eventually(lambda: next(client.watch()).warm, timeout_s=100)
    yield client
    client.close()


def test_a_start_on_a_full_disk_is_refused_by_name_and_works_once_there_is_room(client, disk):
    filler = fill(disk)
    with pytest.raises(DiskFull, match=f"No room left on {disk} for "):
        client.start(make_order("sleep"))
    filler.unlink()
    assert client.start(make_order("sleep")) > 0
    client.stop(JOB)


def test_how_an_executor_ended_on_a_full_disk_is_written_once_there_is_room(client, node, disk):
    order = make_order("sleep", job="01J00000000000000000000003")
    client.start(order)
    folder = disk / "executors" / ExecutorKey.of(order).folder
    parent = node._manager._supervisor.parent.pid
    running = node._manager._executors.all()[0]
    filler = fill(disk)
    running.process.signal_group(9)
    eventually(lambda: running.gone_at is not None, timeout_s=60)
    first = running.gone_at
    eventually(lambda: running.gone_at > first + EXIT_FILE_WAIT_S, timeout_s=60)  # nothing is decided meanwhile
    assert not running.ended.is_set()
    assert list(folder.glob("exit.json*")) == []
    filler.unlink()
    assert running.ended.wait(60)
    assert json.loads((folder / EXIT).read_bytes())["status"] == 9
    assert node._manager._supervisor.parent.pid == parent
    assert client.start(make_order("sleep", job="01J00000000000000000000002")) > 0
    client.stop("01J00000000000000000000002")
