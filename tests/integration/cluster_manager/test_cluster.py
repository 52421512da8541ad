"""A Cluster Manager over two Node Managers, all really serving on Unix sockets."""

from __future__ import annotations

import itertools
import re
import threading
import time
from contextlib import suppress

import pytest

from cluster_manager.client import (
    ClusterClient,
    ClusterUnavailable,
    NoCapacity,
    OrderMismatch,
    ReservationExpired,
    serve,
)
from cluster_manager.server import ClusterService
from node_manager.client import EventKind, NodeUnavailable, Resources, StaleIncarnation
from node_manager.server import NodeService
from party.home_init import create_home
from party.ids import AttemptId
from tests.fakes.nodes import FINAL, eventually, make_config, make_order

_jobs = itertools.count(1)
SMALL = Resources(cores=1, memory_bytes=256 << 20)


def make_node(folder, name, cores):
    folder.mkdir()
    return NodeService(make_config(folder, name=name, capacity=Resources(cores=cores, memory_bytes=2 << 30)))


class Cluster:
    """A Cluster Manager that can be restarted, its nodes, and a reader of its events."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.nodes = {"one": make_node(folder / "one", "one", 2), "two": make_node(folder / "two", "two", 4)}
        for node in self.nodes.values():
            node.start()
        self.events = []
        self.client = ClusterClient(folder / "cluster.sock")
        self.start()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: len(self.client.nodes()) == 2, 60)

    def start(self) -> None:
        sockets = [f"unix:{self.folder}/{name}/node.sock" for name in self.nodes]
        self.service = ClusterService(self.folder / "cluster.sock", self.folder / "c.sqlite", sockets)
        self.service.start()

    def _read(self) -> None:
        since = {}
        while not self._closed:
            try:
                for event in self.client.events(since):
                    if event.kind in FINAL:
                        self.client.acknowledge([event.log])
                    if event.sequence > since.get(event.log, 0):  # of another node some may come again
                        since[event.log] = event.sequence
                        self.events.append(event)
            except ClusterUnavailable:
                time.sleep(0.02)
            except ValueError:
                return

    def of(self, order):
        side = (order.job, order.task, order.address, order.incarnation)
        return [e for e in self.events if (e.job, e.task, e.address, e.incarnation) == side]

    def final(self, order):
        return eventually(lambda: next((e for e in self.of(order) if e.kind in FINAL), None), 90)

    def close(self) -> None:
        self._closed = True
        self.service.stop(2)
        self.client.close()
        self._reader.join(5)
        for node in self.nodes.values():
            node.stop(2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("c"))
    yield cluster
    cluster.close()


@pytest.fixture
def client(cluster):
    return cluster.client


@pytest.fixture
def order_of(cluster):
    job = f"01J{next(_jobs):023}"
    yield lambda do="nothing", **changes: make_order(do, **{"job": job, "resources": SMALL, **changes})
    cluster.client.end_job(job)


def side(order):
    return AttemptId(order.job, order.task, order.attempt)


def reserve(client, order, lease_s=60.0):
    return client.reserve(side(order), order.address, order.resources, lease_s)


def test_reserve_start_watch_and_end(cluster, client, order_of):
    order = order_of("count", count=3)
    reservation = reserve(client, order)
    assert reservation.node == "two"
    client.start(reservation.id, order)
    assert cluster.final(order).kind is EventKind.SUCCEEDED
    assert [e.sequence for e in cluster.of(order)] == list(range(1, 8))
    status = {status.node: status for status in client.nodes()}
    assert (status["two"].reserved_cores, status["two"].reserved_memory_bytes) == (1, 256 << 20)
    assert (status["one"].reserved_cores, status["one"].state) == (0, "up")
    client.end_job(order.job)
    client.end_job(order.job)
    assert not list(cluster.folder.glob(f"*/executors/{order.job}"))
    eventually(lambda: not list(cluster.folder.glob(f"*/ended/{order.job}")))
    assert all(status.reserved_cores == 0 for status in client.nodes())


def test_what_the_manager_and_each_of_its_nodes_count_is_read_at_its_door(cluster, client, order_of):
    order = order_of()
    client.release(reserve(client, order).id)
    text = client.metrics().decode()
    assert re.search(r"^archipelago_cluster_manager_reservations_total [1-9]", text, re.MULTILINE)
    nodes = re.findall(r"^archipelago_node_manager_executors_started_total\{node=\"(\w+)\"\}", text, re.MULTILINE)
    assert sorted(nodes) == ["one", "two"]


def test_capacity_runs_out_and_comes_back(client, order_of):
    big = order_of(resources=Resources(cores=4, memory_bytes=1 << 30))
    reservation = reserve(client, big)
    other = order_of(task="other", resources=Resources(cores=3, memory_bytes=1 << 30))
    with pytest.raises(NoCapacity, match="one: 2 of 2 cores free, 3 wanted; two: 0 of 4 cores free, 3 wanted"):
        reserve(client, other)
    client.release(reservation.id)
    client.release(reservation.id)
    assert reserve(client, other).node == "two"
    with pytest.raises(NoCapacity, match="ask for less"):
        reserve(client, order_of(task="huge", resources=Resources(cores=99)))


def test_a_lease_that_ran_out_cancels_the_start(client, order_of):
    order = order_of()
    reservation = reserve(client, order, lease_s=0.05)
    time.sleep(0.1)
    with pytest.raises(ReservationExpired):
        client.start(reservation.id, order)


def test_an_order_must_be_what_was_reserved(client, order_of):
    order = order_of()
    reservation = reserve(client, order)
    with pytest.raises(OrderMismatch, match="not for arbiter:c"):
        client.start(reservation.id, order_of(address="arbiter:c"))
    with pytest.raises(OrderMismatch, match="more than was reserved"):
        client.start(reservation.id, order_of(resources=Resources(cores=2, memory_bytes=256 << 20)))
    client.start(reservation.id, order)


def test_what_the_node_refuses_reaches_the_caller(cluster, client, order_of):
    order = order_of("sleep", incarnation=2)
    reservation = reserve(client, order)
    client.start(reservation.id, order)
    with pytest.raises(StaleIncarnation):
        client.start(reservation.id, order_of(incarnation=1))
    client.stop(order.job, "task", 1)
    assert cluster.final(order).body["cause"] == "stopped"


def test_a_restarted_cluster_manager_knows_its_promises_and_tells_every_event_once(cluster, client, order_of):
    order = order_of("count", count=60, seconds=0.03)
    reservation = reserve(client, order)
    client.start(reservation.id, order)
    waiting = order_of(task="waiting")
    promised = reserve(client, waiting)
    eventually(lambda: len(cluster.of(order)) > 10)
    cluster.service.stop(2)
    time.sleep(0.3)
    cluster.start()
    assert cluster.final(order).kind is EventKind.SUCCEEDED
    assert [e.sequence for e in cluster.of(order)] == list(range(1, 65))
    client.start(promised.id, waiting)
    assert cluster.final(waiting).kind is EventKind.SUCCEEDED


def test_a_node_that_goes_is_silent_and_not_placed_on(cluster, client, order_of):
    node = cluster.nodes["two"]
    order = order_of("sleep")
    reservation = reserve(client, order)
    client.start(reservation.id, order)
    node.stop(2)
    eventually(lambda: {s.node: s.state for s in client.nodes()} == {"one": "up", "two": "silent"})
    assert reserve(client, order_of(task="next")).node == "one"
    assert client.could_fit([Resources(cores=4)]) == ""  # what it could bear it will bear again
    with pytest.raises(NodeUnavailable):
        client.start(reservation.id, order)
    with pytest.raises(NodeUnavailable):
        client.stop(order.job)
    node.start()
    assert cluster.final(order).body["cause"] == "stopped"
    eventually(lambda: all(s.state == "up" for s in client.nodes()))


def test_what_can_never_fit_is_told_apart_from_what_does_not_fit_now(cluster, client, order_of):
    reserve(client, order_of(task="big"))
    assert client.could_fit([Resources(cores=4), Resources(cores=2)]) == ""
    assert client.could_fit([Resources(cores=64)]) == "64 cores wanted, the largest host has 4"
    assert "wanted at once" in client.could_fit([Resources(cores=3), Resources(cores=3)])
    assert client.could_fit([Resources(gpus=1)]) == "1 GPUs wanted, the largest host has 0"


def test_a_cluster_manager_that_is_not_there_is_unavailable(tmp_path):
    client = ClusterClient(tmp_path / "nobody.sock")
    with pytest.raises(ClusterUnavailable, match="flow party status"):
        client.release("x")
    with pytest.raises(ClusterUnavailable):
        next(client.events({}))
    client.close()


def test_a_home_gives_its_own_node(tmp_path):
    home = create_home(tmp_path / "home", "a")
    service = serve(home)
    service.start()
    client = ClusterClient(home.socket("cluster"))
    assert client.nodes() == []
    with pytest.raises(NoCapacity, match="no node is known"):
        client.reserve(AttemptId("J", "t", 1), "guest:a", SMALL, 5)
    client.close()
    service.stop(2)
    service.stop(2)


def test_a_cluster_manager_that_lost_its_file_knows_again_what_runs_and_where(cluster, client, order_of):
    order = order_of("count", count=1000, seconds=0.05)
    reservation = reserve(client, order)
    client.start(reservation.id, order)
    cluster.service.stop(1)
    for file in cluster.folder.glob("c.sqlite*"):
        file.unlink()
    cluster.start()
    eventually(lambda: _reserved_cores(client) == 1, 20)
    client.release(reservation.id)
    assert _reserved_cores(client) == 0


def _reserved_cores(client):
    with suppress(ClusterUnavailable):  # not yet
        return sum(status.reserved_cores for status in client.nodes())
