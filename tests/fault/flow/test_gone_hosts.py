"""Executors whose host is gone start again on another host of the party, in the same attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_manager.client import ClusterUnavailable
from flow.job.states import JobState
from flow.participant import restarts
from flow.participant.restarts import LookAtHosts
from flow.pauses import Pauses
from flow.service import FlowService
from flow.store.tables import executor
from node_manager.client import EventKind, Order
from tests.fakes.flow_world import World, hangs, nothing_job, succeeds
from tests.fakes.nodes import eventually


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(restarts, "LOOK_S", 3600.0)  # the tests look themselves
    made = World(tmp_path, pauses=Pauses(restart_s=0.02, last_follow_s=0.1)).up()
    for party in made.parties.values():
        party.cluster.script = hangs
    yield made
    made.down()


def first_incarnation_hangs(order: Order) -> list[tuple[EventKind, dict[str, object]]]:
    return hangs(order) if order.incarnation == 1 else succeeds(order)


def flow_of(world: World, party: str) -> FlowService:
    flow = world[party].flow
    assert flow is not None
    return flow


def look(world: World, times: int) -> None:
    for _ in range(times):
        flow_of(world, "b")._restarts.look(LookAtHosts())


def row_of(world: World, job: str) -> Any:
    return flow_of(world, "b")._database.rows(job).one(executor, "idle", 1, "host:b")


@pytest.fixture
def job(world: World) -> str:
    """One that runs, at `b` on a host that is gone now."""
    for party in ("a", "c"):
        world[party].cluster.script = succeeds
    cluster = world["b"].cluster
    cluster.script = first_incarnation_hangs
    job = world.submit(nothing_job(retries=0))
    eventually(lambda: (row := row_of(world, job)) is not None and row.state == "running")
    cluster.gone, cluster.node = {"node-1"}, "node-2"
    return job


def test_it_starts_on_another_host_once_the_older_one_is_fenced(
    world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, gateway = world["b"].cluster, world["b"].gateway
    newest_token: list[int] = []
    release: Callable[[str], None] = cluster.release
    monkeypatch.setattr(cluster, "release", lambda room: (newest_token.append(gateway.tokens[-1][4]), release(room)))
    first = cluster.orders[0]
    look(world, 1)
    assert row_of(world, job).incarnation == 1, "it may be our own clock that stood"
    look(world, 1)
    cluster.tell(first, EventKind.FAILED, code="gateway.token_refused", message="it came back")
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert [a.attempt for a in view.tasks[0].attempts] == [1]
    assert [order.incarnation for order in cluster.orders] == [1, 2]
    assert newest_token[0] == 2, "the older one is fenced before its room is given to another"
    assert row_of(world, job).node == "node-2"


def test_it_is_due_though_its_room_cannot_be_given_back_now(
    world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_room: str) -> None:
        monkeypatch.undo()
        raise ClusterUnavailable("The Cluster Manager is away.")

    look(world, 1)
    monkeypatch.setattr(world["b"].cluster, "release", away)
    with pytest.raises(ClusterUnavailable):
        look(world, 1)
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert [order.incarnation for order in world["b"].cluster.orders] == [1, 2]


def test_one_that_fits_nowhere_else_keeps_its_token_and_is_waited_for(world: World, job: str) -> None:
    cluster, gateway = world["b"].cluster, world["b"].gateway
    cluster.cores = 0
    look(world, 3)
    assert (row_of(world, job).incarnation, len(gateway.tokens)) == (1, 1)
    cluster.tell(cluster.orders[0], EventKind.SUCCEEDED)  # its host is back
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert len(cluster.orders) == 1


def test_one_whose_new_room_was_taken_meanwhile_starts_once_there_is_some(
    world: World, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = world["b"].cluster
    monkeypatch.setattr(cluster, "displaced", lambda: [room.id for room, _ in cluster.rooms.values()])
    cluster.cores = 0
    look(world, 2)
    row = row_of(world, job)
    assert (row.restart_due, row.reservation, row.incarnation) == (True, "", 2)
    look(world, 2)
    assert row_of(world, job).incarnation == 2
    cluster.cores = 4
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert row_of(world, job).restart_due is False
