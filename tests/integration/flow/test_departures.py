"""A party that leaves a job whose initiator does not answer tells the others, and they end their sides too."""

from __future__ import annotations

import pytest

from flow.errors import BadMessage, UnknownJob
from flow.job.states import JobState
from flow.protocol.messages import Method, Withdrawal, encode
from runtime.clock import HybridTime
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


def running(world: World) -> str:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["c"].cluster.running() == 1, job)
    return job


def says_it_left(world: World, job: str, frm: str, to: str) -> None:
    message = encode(Withdrawal(job=job, reason="Gone."), HybridTime(1_700_000_000_000, 1))
    world.hub.call(frm, to, Method.LEFT, message)


def test_the_other_parties_end_their_sides_while_the_initiator_is_down_and_it_hears_of_it_later(world: World) -> None:
    job = running(world)
    world.hub.down.add("a")
    world["b"].flow.stop(job, SCIENTIST)  # type: ignore[union-attr]
    view = world.until(lambda v: v.left, job, party="c")
    assert (view.state, view.left) == (JobState.CANCELLED, "b left it. Stopped by a person of b.")
    world.until(lambda _: world["c"].gateway.closed == [job], job, party="c")
    for party in ("b", "c"):
        assert (world[party].cluster.running(), world[party].cluster.rooms) == (0, {})
    world.hub.down.clear()
    view = world.wait_closed(job)
    assert (view.state, view.error.code) == (JobState.CANCELLED, "flow.withdrawn")
    said = "Stopped by a person of b."
    assert view.error.message in (f"c withdrew from the job. b left it. {said}", f"b withdrew from the job. {said}")
    assert world["a"].cluster.running() == 0


def test_where_the_initiator_answers_it_alone_ends_the_job(world: World) -> None:
    job = running(world)
    world["b"].flow.stop(job, SCIENTIST)  # type: ignore[union-attr]
    view = world.wait_closed(job)
    assert view.error.message == "b withdrew from the job. Stopped by a person of b."
    assert world.hub.count(Method.LEFT) == 0
    assert world["c"].flow.job(job).left == ""  # type: ignore[union-attr]


def test_a_party_speaks_only_for_itself_and_only_of_jobs_that_it_is_in(world: World) -> None:
    world.hub.parties.add("z")
    job = running(world)
    with pytest.raises(UnknownJob):
        says_it_left(world, job, "z", "c")
    with pytest.raises(BadMessage, match="one of them leads"):
        says_it_left(world, job, "a", "c")
    with pytest.raises(BadMessage, match="one of them leads"):
        says_it_left(world, job, "b", "a")
    assert [party.cluster.running() for party in world.parties.values()] == [1, 1, 1]
    world.a.stop(job, SCIENTIST)
