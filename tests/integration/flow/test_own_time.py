"""The time before a start of the party that leads a job counts against its limits once our clock may be believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from flow.coordinator.coordinator import JobStep
from flow.rooms.clock_evidence import CONFIRM_S, LOOK_AGAIN_S
from flow.store.tables import job as table
from gateway.client import ClocksDiffer, PeerStatus
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job

FAR_AHEAD = timedelta(days=1_100)


def begun(world: World, phase: str) -> str:
    """A job of party a that runs, or that waits for room at party b."""
    for party in world.parties.values():
        party.cluster.script = hangs
    if phase == "waiting":
        world["b"].cluster.cores = 0
        job = world.submit(nothing_job(wait_s=3_600))
        world.until(lambda v: v.waiting_for, job)
    else:
        job = world.submit(nothing_job(timeout_s=3_600))
        world.until(lambda v: v.tasks[0].state == "running", job)
    return job


def started_anew(world: World, ahead: timedelta) -> FakeClock:
    world["a"].down()
    clock = world["a"].clock = FakeClock(datetime.now(UTC) + ahead)
    world["a"].up()
    return clock


def look(world: World, job: str) -> float | None:
    return world.a._coordinator._step(JobStep(job))


@pytest.mark.parametrize("phase", ["running", "waiting"])
def test_one_start_with_a_clock_far_ahead_ends_no_job_of_ours(world: World, phase: str) -> None:
    job = begun(world, phase)
    world["a"].gateway.links = {p: PeerStatus(p, (), "up", 1.0, 0, "Differs.", ClocksDiffer.code) for p in "bc"}
    clock = started_anew(world, FAR_AHEAD)
    for _ in range(3):
        wake_s = look(world, job)
        assert wake_s is not None
        assert wake_s <= LOOK_AGAIN_S
        clock.advance(LOOK_AGAIN_S)
    assert world.a.job(job).error is None
    world["a"].down()  # while our clock is wrong nobody agrees with it
    world["a"].gateway.links = {}
    started_anew(world, timedelta())
    look(world, job)
    assert world.a.job(job).error is None
    world.a.stop(job, SCIENTIST)
    world["b"].cluster.cores = 8
    world.wait_closed(job)


def test_a_clock_that_is_set_right_meanwhile_counts_as_what_it_says_then(world: World) -> None:
    job = begun(world, "running")
    world["a"].gateway.problem = "The card of a has expired."
    clock = started_anew(world, FAR_AHEAD)
    look(world, job)
    clock._now -= FAR_AHEAD
    world["a"].gateway.problem = ""
    look(world, job)
    assert world.a.job(job).error is None
    world.a.stop(job, SCIENTIST)
    world.wait_closed(job)


def test_time_that_other_parties_confirm_counts(world: World) -> None:
    job = begun(world, "running")
    started_anew(world, timedelta(hours=2))
    look(world, job)  # as the scheduler may at the same moment
    assert world.until(lambda v: v.error, job).error.code == "flow.timed_out"


def test_time_that_nobody_can_confirm_counts_after_a_while_of_running(world: World) -> None:
    job = begun(world, "running")
    world.hub.down |= {"b", "c"}
    clock = started_anew(world, timedelta(hours=2))
    assert look(world, job)
    assert world.a.job(job).error is None
    clock.advance(CONFIRM_S)
    look(world, job)  # as the scheduler may at the same moment
    assert world.until(lambda v: v.error, job).error.code == "flow.timed_out"
    world.hub.down.clear()


def test_time_of_a_phase_that_ends_at_the_first_look_after_a_start_counts(world: World) -> None:
    job = begun(world, "waiting")
    world["a"].down()
    world["b"].cluster.cores = 8
    world["a"].clock = FakeClock(datetime.now(UTC) + timedelta(minutes=30))
    world["a"].up()

    def told(column: str) -> Any:
        with world.a._database.read() as connection:
            return connection.execute(select(table.c[column]).where(table.c.id == job)).scalar_one()

    world.until(lambda _: told("phase") == "running", job)
    assert told("waited_ms") >= 30 * 60_000
    world.a.stop(job, SCIENTIST)
    world.wait_closed(job)
