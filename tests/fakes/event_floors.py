"""A party in which events come the whole real way: event logs, a Node Manager's door, a Cluster Manager, Flow.

No process is made: the test is the executor, and writes its log.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import grpc

from cluster_manager.client import ClusterClient
from cluster_manager.server import ClusterService
from flow.service import FlowService
from node_manager.client import EventKind, ExecutorEvent, NodeStatus, Order
from node_manager.executor.event_log import EventLog
from node_manager.folders import ExecutorKey, make_folder
from node_manager.supervisor.follow import EventLogs
from node_manager.wire import serve_node
from runtime.rpc import unix_server
from tests.fakes.flow_world import SCIENTIST, FakeCluster, World, nothing_job


class LogNode:
    """The part of a Node Manager that lets its event logs be followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = EventLogs(folder / "executors", folder / "ended")
        self._stopping = threading.Event()
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (folder / "bell.sock").unlink(missing_ok=True)
        self._bell.bind(str(folder / "bell.sock"))
        self._server: grpc.Server = unix_server(folder / "node.sock", 8)
        serve_node(self, self._server)  # type: ignore[arg-type]
        self._server.start()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while name := self._bell.recv(500).decode():
            self._logs.rung(name)

    def watch(self, listening: Callable[[], bool]) -> Iterator[NodeStatus]:
        yield NodeStatus(node="n", cores=2, memory_bytes=1 << 30, gpus=0)
        while listening() and not self._stopping.wait(0.5):
            pass

    def events(self, since: Mapping[str, int], listening: Callable[[], bool]) -> Iterator[bytes]:
        with self._logs.follower(since) as follower:
            while listening() and not self._stopping.is_set():
                yield from follower.documents(0.5)

    def acknowledge(self, logs: Sequence[str]) -> None:
        self._logs.acknowledge(logs)

    def clean(self, job: str) -> None:
        self._logs.keep(job)

    def close(self) -> None:
        self._stopping.set()
        self._logs.wake()
        self._server.stop(0.5).wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self._folder / "bell.sock"))
        self._thread.join()
        self._bell.close()


class LoggedCluster(FakeCluster):
    """Room is a fake's, and no executor runs; what is told comes from a real Cluster Manager."""

    def __init__(self, client: ClusterClient) -> None:
        super().__init__()
        self.client = client
        self.script = lambda _order: []

    def events(self, since: Mapping[str, int]) -> Iterator[ExecutorEvent]:
        for event in self.client.events(since):
            if self._closed:
                return
            yield event

    def acknowledge(self, logs: Sequence[str]) -> None:
        self.client.acknowledge(logs)


class Floors:
    """Party `a` of a world, a running job of it, and what its events pass."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = LogNode(folder)
        self.start_cluster()
        self.client = ClusterClient(folder / "cluster.sock")
        self.world = World(folder)
        self.world["a"].cluster = LoggedCluster(self.client)
        self.world.up()
        self.job = self.world.submit(nothing_job())
        self.world.until(lambda _view: self.world["a"].cluster.orders, self.job)
        self.order: Order = self.world["a"].cluster.orders[0]

    @property
    def flow(self) -> FlowService:
        return self.world.a

    def start_cluster(self) -> None:
        self.cluster = ClusterService(self.folder / "cluster.sock", self.folder / "c.sqlite", [self._address])
        self.cluster.start()

    @property
    def _address(self) -> str:
        return f"unix:{self.folder}/node.sock"

    def restart_cluster(self) -> None:
        self.cluster.stop(1)
        self.start_cluster()

    def restart_node(self) -> None:
        self.node.close()
        self.node = LogNode(self.folder)

    def restart_flow(self) -> None:
        self.world["a"].down()
        self.world["a"].up()

    def log(self) -> EventLog:
        """The log of the order's executor, which has told that it started."""
        key = ExecutorKey.of(self.order)
        folder = make_folder(self.folder / "executors", key, self.order)
        log = EventLog(folder, key, str(self.folder / "bell.sock"))
        log.write(EventKind.STARTED, pid=1, started_s=0.0)
        self.world.until(lambda view: _running(view, self.order.address), self.job)
        return log

    def close(self) -> None:
        self.flow.stop(self.job, SCIENTIST)
        self.cluster.stop(1)
        self.world.down()
        self.client.close()
        self.node.close()


def _running(view: object, address: str) -> bool:
    sides = [side for task in view.tasks for attempt in task.attempts for side in attempt.sides]  # type: ignore[attr-defined]
    return any(side.address == address and side.state == "running" for side in sides)
