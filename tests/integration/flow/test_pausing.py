"""A job that is paused holds nothing and loses nothing: its attempt goes on where it was, at every party."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow.errors import JobInvalid, NotInitiator, NotPausable, UnknownJob, UnknownMethod
from flow.job.states import ENDED_JOB, AttemptState, JobState
from flow.pauses import Pauses
from flow.protocol.messages import Method, PauseOrder, encode
from flow.store.tables import job_party
from gateway.client import PeerUnreachable
from node_manager.client import EventKind
from party.errors import NotAllowed
from party.users import make_user
from runtime.clock import HybridTime
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job, succeeds

PARTIES = ("a", "b", "c")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("w"), pauses=Pauses(last_s=0.5, room_s=0.2)).up()
    yield made
    made.down()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The same parties for each test, with nothing to do before it and after."""
    for party in shared.parties.values():
        party.cluster.orders.clear()
    yield shared
    for job in shared.a.jobs():
        if job.state not in ENDED_JOB:
            shared.a.stop(job.id, SCIENTIST)
        shared.wait_closed(job.id)
    for party in shared.parties.values():
        party.cluster.cores = 4


def running(world: World, **settings: object) -> str:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job(retries=0, **settings))
    world.until(lambda v: v.tasks[0].state == "running" and _running(world) == [1, 1, 1], job)
    return job


def _running(world: World) -> list[int]:
    return [party.cluster.running() for party in world.parties.values()]


def _told(world: World, job: str) -> bool:
    return not any(row.pause_due for row in world.a._database.rows(job).of(job_party))


def paused(world: World, **settings: object) -> str:
    job = running(world, **settings)
    world.a.pause(job, SCIENTIST)
    world.until(lambda _: _told(world, job), job)
    return job


def lets_succeed(world: World, *parties: str) -> None:
    for party in parties or PARTIES:
        world[party].cluster.script = succeeds


def test_a_paused_job_runs_nowhere_and_holds_no_room_and_says_so_everywhere(world: World) -> None:
    job = paused(world)
    for party in PARTIES:
        assert (world[party].cluster.running(), world[party].cluster.rooms) == (0, {}), party
        assert job in world[party].gateway.open, party
        view = world[party].flow.job(job)  # type: ignore[union-attr]
        assert view.state is JobState.PAUSED
        assert [waiting.what for waiting in view.waiting_for] == ["pause"]
    assert "'flow job continue " in world.a.why(job)[0]
    assert "a person at a, who paused the job" in world["b"].flow.why(job)[0]  # type: ignore[union-attr]
    assert "'flow job" not in world["b"].flow.why(job)[0]  # type: ignore[union-attr]


def test_it_goes_on_in_the_same_attempt_as_the_next_incarnation_and_spends_no_retry(world: World) -> None:
    job = paused(world)
    started = world.a.job(job).started_ms
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert [attempt.state for attempt in view.tasks[0].attempts] == ["succeeded"]
    for party in PARTIES:
        assert [(o.attempt, o.incarnation) for o in world[party].cluster.orders] == [(1, 1), (1, 2)]
        world.until(lambda v: v.closed and v.state is JobState.SUCCEEDED, job, party=party)
    assert view.started_ms == started


def test_it_may_be_paused_again_and_again(world: World) -> None:
    job = paused(world)
    for _ in range(2):
        world.a.go_on(job, SCIENTIST)
        world.until(lambda _: _running(world) == [1, 1, 1], job)
        world.a.pause(job, SCIENTIST)
        world.a.pause(job, SCIENTIST)
        world.until(lambda _: _told(world, job), job)
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    world.a.go_on(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert [o.incarnation for o in world["b"].cluster.orders] == [1, 2, 3, 4]


def test_others_run_in_its_room_and_it_waits_for_that(world: World) -> None:
    for party in PARTIES:
        world[party].cluster.cores = 1
    job = paused(world)
    lets_succeed(world)
    other = world.submit(nothing_job())
    assert world.wait_closed(other).state is JobState.SUCCEEDED
    world.a.go_on(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_it_stays_paused_when_services_restart(world: World) -> None:
    job = paused(world)
    for party in ("a", "b"):
        world[party].down()
        world[party].up()
    assert world.a.job(job).state is JobState.PAUSED
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_a_party_that_cannot_be_reached_is_told_later_and_nothing_starts_before(world: World) -> None:
    job = running(world)
    world.hub.down.add("c")
    world.a.pause(job, SCIENTIST)
    world.until(lambda _: _running(world)[:2] == [0, 0], job)
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    world.until(lambda v: any(waiting.who == "c" for waiting in v.waiting_for), job)
    assert [len(world[party].cluster.orders) for party in PARTIES] == [1, 1, 1]
    world.hub.down.clear()
    for order in list(world["c"].cluster.orders):  # it never heard of the pause, and ran on
        world["c"].cluster.tell(order, EventKind.SUCCEEDED, seconds=0.0)
    view = world.wait_closed(job)
    assert (view.state, len(view.tasks[0].attempts)) == (JobState.SUCCEEDED, 1)
    assert [len(world[party].cluster.orders) for party in PARTIES] == [2, 2, 1]


def test_a_side_that_ended_while_the_pause_was_on_its_way_is_not_done_again(world: World) -> None:
    job = running(world)
    (order,) = world["b"].cluster.orders
    world["b"].cluster.tell(order, EventKind.SUCCEEDED, seconds=0.0)
    world.a.pause(job, SCIENTIST)
    world.until(lambda _: _told(world, job), job)
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert len(view.tasks[0].attempts) == 1


def test_a_job_all_of_whose_sides_had_ended_needs_no_executor_to_go_on(world: World) -> None:
    job = running(world)

    def before(_frm: str, _to: str, method: str) -> None:
        if method == "report":
            raise PeerUnreachable("Not now.")

    world.hub.before = before
    for party in PARTIES:
        (order,) = world[party].cluster.orders
        world[party].cluster.tell(order, EventKind.SUCCEEDED, seconds=0.0)
    world.until(lambda _: _running(world) == [0, 0, 0], job)
    world.a.pause(job, SCIENTIST)
    world.hub.before = lambda *_: None
    world.until(lambda _: _told(world, job), job)
    world.a.go_on(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_a_paused_job_can_be_stopped_and_its_time_counts_as_waiting(world: World) -> None:
    job = paused(world)
    assert world.a._database.rows(job).job.phase == "waiting"
    world.a.stop(job, SCIENTIST)
    view = world.wait_closed(job)
    assert view.state is JobState.CANCELLED
    assert [attempt.state for attempt in view.tasks[0].attempts] == [AttemptState.CANCELLED]


def test_a_party_of_an_older_release_runs_on_while_the_others_wait(world: World) -> None:
    job = running(world)
    handler = world.hub.handlers["b"]

    def old(call: object) -> bytes:
        if call.method == "pause":  # type: ignore[attr-defined]
            raise UnknownMethod("Flow answers no method 'pause'.")
        return handler(call)

    world.hub.handlers["b"] = old
    world.a.pause(job, SCIENTIST)
    world.until(lambda _: _told(world, job), job)
    assert _running(world) == [0, 1, 0]
    world.hub.handlers["b"] = handler
    lets_succeed(world)
    world.a.go_on(job, SCIENTIST)
    world["b"].cluster.tell(world["b"].cluster.orders[0], EventKind.SUCCEEDED, seconds=0.0)
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_only_who_may_stop_a_job_pauses_it_and_only_where_it_is_led(world: World) -> None:
    job = running(world)
    with pytest.raises(NotAllowed):
        world.a.pause(job, make_user("eve", ["scientist"]))
    with pytest.raises(NotInitiator, match="led by a, which alone can pause it"):
        world["b"].flow.pause(job, SCIENTIST)  # type: ignore[union-attr]
    message = encode(PauseOrder(job=job, paused=True), HybridTime(1_700_000_000_000, 1))
    with pytest.raises(UnknownJob):
        world.hub.call("c", "b", Method.PAUSE, message)
    assert _running(world) == [1, 1, 1]


def test_a_job_that_does_not_run_is_not_paused_and_one_that_ended_does_not_go_on(world: World) -> None:
    job = running(world)
    world.a.pause(job, SCIENTIST)
    with pytest.raises(JobInvalid, match="has not ended; it is paused"):
        world.a.resume(job, {}, user=SCIENTIST)
    world.a.stop(job, SCIENTIST)
    with pytest.raises(NotPausable, match="is cancelled; only one that runs"):
        world.a.pause(job, SCIENTIST)
    with pytest.raises(NotPausable) as refused:
        world.a.go_on(job, SCIENTIST)
    assert f"flow job resume {job}" in refused.value.hint
