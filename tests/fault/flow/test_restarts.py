"""Executors that are lost start again in the same attempt; what comes no further ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.job.states import AttemptState, JobState
from flow.pauses import Pauses
from gateway.client import GatewayDown
from node_manager.client import CodeMismatch, EventKind, NodeUnavailable, Order
from tests.fakes.flow_world import SCIENTIST, Script, World, hangs, nothing_job, succeeds

KILLED: tuple[EventKind, dict[str, object]] = (EventKind.LOST, {"cause": "signal"})
STARTED: tuple[EventKind, dict[str, object]] = (EventKind.STARTED, {})
SAVED: tuple[EventKind, dict[str, object]] = (EventKind.CHECKPOINT, {"step": 1})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, pauses=Pauses(restart_s=0.02, last_follow_s=0.1, probe_s=0.2)).up()
    yield made
    made.down()


def dies(
    times: int, *first: tuple[EventKind, dict[str, object]], end: tuple[EventKind, dict[str, object]] = KILLED
) -> Script:
    """An executor that ends so many times, then succeeds."""
    left = Counter(times=times)

    def script(order: Order) -> list[tuple[EventKind, dict[str, object]]]:
        left["times"] -= 1
        return [STARTED, *first, end] if left["times"] >= 0 else succeeds(order)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(dies(1), id="killed"),
        pytest.param(dies(3), id="killed three times before its first checkpoint"),
        pytest.param(dies(20, SAVED), id="killed after each of many checkpoints"),
        pytest.param(
            dies(1, SAVED, end=(EventKind.LOST, {"cause": "memory"})), id="outgrew its memory, but came further"
        ),
        pytest.param(dies(20, end=(EventKind.LOST, {"cause": "stopped"})), id="its party is stopped again and again"),
        pytest.param(
            dies(1, end=(EventKind.FAILED, {"code": "algorithms.worker_lost", "message": "a worker died"})),
            id="a worker of it was killed",
        ),
    ],
)
def test_what_is_lost_starts_again_in_its_attempt_and_no_retry_is_spent(world: World, script: Script) -> None:
    world["b"].cluster.script = script
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.state is JobState.SUCCEEDED
    assert [a.state for a in view.tasks[0].attempts] == ["succeeded"]
    incarnations = [order.incarnation for order in world["b"].cluster.orders]
    assert incarnations == list(range(1, len(incarnations) + 1))
    assert len(incarnations) > 1
    assert world["b"].gateway.tokens[-1][4] == incarnations[-1]


@pytest.mark.parametrize(
    ("end", "incarnations"),
    [
        pytest.param(KILLED, 4, id="killed without a checkpoint between"),
        pytest.param((EventKind.LOST, {"cause": "memory"}), 1, id="out of memory before any checkpoint"),
        pytest.param((EventKind.FAILED, {"code": "algorithms.bad_labels", "message": "no"}), 1, id="a mistake"),
    ],
)
def test_what_comes_no_further_ends_the_attempt(
    world: World, end: tuple[EventKind, dict[str, object]], incarnations: int
) -> None:
    world["b"].cluster.script = dies(1_000, end=end)
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.state is JobState.FAILED
    assert len(world["b"].cluster.orders) == incarnations


def test_a_restart_that_was_due_is_carried_out_by_the_next_flow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, start = world["b"].cluster, world["b"].cluster.start
    cluster.script = dies(1)

    def unreachable(reservation: str, order: Order) -> None:
        if order.incarnation > 1:
            raise NodeUnavailable("The node does not answer.")
        start(reservation, order)

    monkeypatch.setattr(cluster, "start", unreachable)
    job = world.submit(nothing_job(retries=0))
    world.until(lambda _: [token[4] for token in world["b"].gateway.tokens] >= [1, 2], job)
    world["b"].down()
    monkeypatch.undo()
    world["b"].up()
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_an_executor_starts_again_in_other_room_where_its_own_is_gone(world: World) -> None:
    cluster = world["b"].cluster
    cluster.script = lambda order: _losing_room(world, order)
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.state is JobState.SUCCEEDED
    assert [order.incarnation for order in cluster.orders] == [1, 2]


def _losing_room(world: World, order: Order) -> list[tuple[EventKind, dict[str, object]]]:
    if order.incarnation > 1:
        return succeeds(order)
    world["b"].cluster.rooms.clear()
    return [STARTED, KILLED]


def test_one_that_can_never_start_again_is_told_to_the_initiator_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, start = world["b"].cluster, world["b"].cluster.start
    cluster.script = dies(1)
    for party in ("a", "c"):
        world[party].cluster.script = hangs

    def refused(reservation: str, order: Order) -> None:
        if order.incarnation > 1:
            raise CodeMismatch("Another release is installed here now.")
        start(reservation, order)

    monkeypatch.setattr(cluster, "start", refused)
    view = world.wait(world.submit(nothing_job(retries=0)), "failed", timeout_s=5.0)
    assert view.error.code == "node.code_mismatch"


def test_an_executor_of_a_job_that_was_stopped_does_not_start_again(world: World) -> None:
    world["b"].cluster.script = dies(1, end=STARTED)
    job = world.submit(nothing_job(retries=0))
    world.until(lambda v: v.tasks[0].attempts and v.tasks[0].attempts[0].state is AttemptState.RUNNING, job)
    world.a.stop(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.CANCELLED
    assert [order.incarnation for order in world["b"].cluster.orders] == [1]


def test_logs_and_why_tell_of_an_executor_that_was_killed_and_starts_again(world: World) -> None:
    saved: tuple[EventKind, dict[str, object]] = (EventKind.CHECKPOINT, {"step": 69})
    killed: tuple[EventKind, dict[str, object]] = (EventKind.LOST, {"cause": "signal", "signal": 9})
    world["b"].cluster.script = lambda order: [STARTED, saved, killed] if order.incarnation == 1 else hangs(order)
    job = world.submit(nothing_job())
    flow = world["b"].flow
    assert flow is not None
    world.until(lambda _: len(world["b"].cluster.orders) == 2, job)
    text = "executor killed (signal 9), starts again as incarnation 2 from step 69"
    assert [(row.text, row.incarnation, row.level) for row in flow.logs(job)] == [(text, 2, "warning")]
    assert any(said.startswith(f"host:b: {text} (2") for said in flow.why(job))


def test_a_party_whose_own_gateway_is_down_blames_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world["b"].cluster.script = hangs
    job = world.submit(nothing_job())
    world.wait(job, JobState.RUNNING)

    def no_gateway(*_: object) -> bytes:
        raise GatewayDown("The gateway does not answer at /x.", hint="See: flow party status")

    monkeypatch.setattr(world["a"].gateway, "call", no_gateway)
    monkeypatch.setattr(world["a"].gateway, "peers", no_gateway)
    view = world.until(lambda view: bool(view.waiting_for), job)
    assert [(one.who, one.what) for one in view.waiting_for] == [("a", "gateway")]
    (said,) = [said for said in world.a.why(job) if "gateway" in said]
    assert said.startswith("It waits for the gateway of a, which does not answer (since ")
    assert not any("absent" in said for said in world.a.why(job))
    assert {event.kind for event in world.a.events(job)} >= {"gateway.down"}
