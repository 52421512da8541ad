"""What another party's proposals may hold here: for how long, how much, and that what was refused is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from flow.errors import JobsTooLarge, UnreadableJob
from flow.job.spec import parse_job
from flow.job.states import JobState
from flow.participant.leaving import Limit
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Decision, Method, Proposal, encode
from flow.store.catalogue import Catalogue
from flow.store.tables import job as job_table
from flow.store.tables import metadata
from party.ids import new_job_id
from runtime.bounds import MAX_TIME_MS
from runtime.clock import HybridTime
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import SCIENTIST, World, component, nothing_job, train_job


def proposed(world: World, job: str = "", submitted_ms: int = 1, **settings: object) -> str:
    """A proposal of `a` to `b` of which nobody hears any more."""
    spec = parse_job(json.dumps(nothing_job(**settings)).encode())
    made = Proposal(
        job=job or new_job_id(), initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(),
        seed="0" * 64, code={"nothing@1": component("nothing@1").code_digest}, api=OUR_API, submitted_ms=submitted_ms,
    )  # fmt: skip
    world.hub.call("a", "b", Method.PROPOSE, encode(made, HybridTime(1, 1)))
    return made.job


@pytest.fixture
def clock(world: World) -> FakeClock:
    """The clock of `b`, whose people are asked about every job; the others are down."""
    for party in world.parties.values():
        party.down()
    world["b"].clock = made = FakeClock(datetime.now(UTC))
    world["b"].policy = world["b"].policy.model_copy(update={"accept": Decision.ASK})
    world["b"].up()
    return made


def test_a_job_that_claims_to_be_of_the_future_does_not_lead_the_list(world: World, clock: FakeClock) -> None:
    flow = world["b"].flow
    assert flow is not None
    future = proposed(world, job="7" + "Z" * 25, submitted_ms=MAX_TIME_MS)
    clock.advance(1)
    ours = proposed(world, submitted_ms=round(clock.now().timestamp() * 1000))
    assert [each.id for each in flow.jobs()] == [ours, future]
    assert [each.id for each in flow.jobs(limit=1, before=ours)] == [future]
    assert flow.jobs(before=future) == []


@pytest.mark.parametrize("accept", [Decision.ASK, Decision.AGREE])
def test_a_proposal_that_is_neither_opened_nor_ended_ends_here_when_its_own_limits_are_over(
    world: World, clock: FakeClock, accept: Decision
) -> None:
    b, flow = world["b"], world["b"].flow
    assert flow is not None
    b.policy = b.policy.model_copy(update={"accept": accept})
    name = proposed(world, timeout_s=100, wait_s=1_000)
    scheduler = flow._scheduler
    clock.advance(1_100)  # a minute is left in which the initiator may be late
    assert flow._leaving.check(Limit(name)) == pytest.approx(60, abs=0.01)
    assert flow.job(name).state is JobState.WAITING
    world.until(lambda _: Limit(name) in scheduler._due, name, party="b")
    clock.advance(61)
    scheduler.hurry(lambda key: key == Limit(name))
    view = world.until(lambda v: v.left, name, party="b")
    assert (view.state, view.error.code) == (JobState.CANCELLED, "flow.timed_out")
    assert "are over" in view.left
    assert not flow.proposal(name).waits


def test_a_job_that_was_refused_here_and_left_waiting_by_an_older_release_is_over_after_a_start(
    world: World, clock: FakeClock
) -> None:
    b, flow = world["b"], world["b"].flow
    assert flow is not None
    name, other = proposed(world), proposed(world)
    flow.refuse(name, SCIENTIST, "Not this month.")
    with flow._database.write() as writer:
        waits = {"state": "waiting", "ended_ms": None, "error_code": "", "error_message": "", "error_party": ""}
        writer.run(job_table.update().where(job_table.c.id == name).values(waits))
    b.down()
    view = b.up().job(name)
    assert (view.state, view.error.code, view.error.party) == (JobState.REFUSED, "flow.job_refused", "b")
    assert view.error.message == "Not this month."
    assert view.ended_ms is not None
    assert b.flow is not None
    assert b.flow.job(other).state is JobState.WAITING


def test_proposals_whose_time_was_over_are_forgotten_as_those_that_were_refused(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow.store.proposal_limits.MOST_REFUSED", 2)
    flow = world["b"].flow
    assert flow is not None
    old = []
    for _ in range(4):
        old.append(proposed(world, timeout_s=1, wait_s=1))
        clock.advance(63)
        assert flow._leaving.check(Limit(old[-1])) is None
    newest = proposed(world)
    assert [job.id for job in flow.jobs()] == [newest, old[3], old[2]]
    assert flow._database.rows(old[3]).part.state == "left"


def test_what_is_kept_of_proposals_that_came_to_nothing_is_bounded_in_bytes(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = world["b"].flow
    assert flow is not None
    world["b"].policy = world["b"].policy.model_copy(update={"peers": ()})
    names = [proposed(world)]
    size = flow._database.rows(names[0]).part.bytes
    monkeypatch.setattr("flow.store.proposal_limits.MOST_REFUSED_BYTES", 3 * size - 1)
    names += [proposed(world) for _ in range(3)]
    assert [job.id for job in flow.jobs()] == [names[3], names[2]]


def test_a_party_takes_no_more_of_another_than_so_many_bytes_of_jobs_that_have_not_ended(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = world["b"].flow
    assert flow is not None
    first = proposed(world)
    rows = flow._database.rows(first)
    row = rows.part
    assert row.bytes >= len(rows.job.spec) + len(row.answer)
    monkeypatch.setattr("flow.store.proposal_limits.MOST_JOBS_BYTES", 2 * row.bytes)
    second = proposed(world)
    with pytest.raises(JobsTooLarge, match=f"have {2 * row.bytes} bytes"):
        proposed(world)
    assert {job.id for job in flow.jobs()} == {first, second}
    flow.refuse(first, SCIENTIST, "Not this month.")
    proposed(world)


def test_the_document_of_a_job_is_stored_once_at_each_party(world: World) -> None:
    name = world.submit(nothing_job())
    world.wait_closed(name)
    for party in world.parties.values():
        flow = party.flow
        assert flow is not None
        with flow._database.read() as connection:
            texts = [
                f"{table.name}.{column}"
                for table in metadata.tables.values()
                for row in connection.execute(table.select()).all()
                for column, value in row._mapping.items()
                if isinstance(value, str) and '"tasks"' in value and '"component"' in value
            ]
        assert texts == ["job.spec"]
        assert Catalogue(component).of_job(flow._database.rows(name)).proposal.job == name
        assert flow.job(name).spec == world.a.job(name).spec


def test_a_proposal_that_an_older_release_took_in_and_this_one_would_not_is_named(
    world: World, clock: FakeClock
) -> None:
    flow = world["b"].flow
    assert flow is not None
    name = proposed(world)
    with flow._database.write() as writer:
        old = json.loads(writer.rows(name).job.proposal) | {"seed": "0" * 1000}
        writer.change(job_table, name, [()], {"proposal": json.dumps(old)})
    flow._proposals._catalogue.forget(name)
    with pytest.raises(UnreadableJob, match=f"Job {name} cannot be read: seed"):
        flow.proposal(name)
    with pytest.raises(UnreadableJob):
        Catalogue(component).of_job(flow._database.rows(name))
    flow.stop(name, SCIENTIST)
    assert flow.job(name).state is JobState.CANCELLED


def test_what_the_policy_refuses_pushes_no_job_out_of_the_list(world: World) -> None:
    done = world.submit(nothing_job())
    world.wait_closed(done)
    world["b"].store.tables.clear()
    absent = world.submit(train_job())
    world.wait(absent, "refused")
    world.wait_closed(absent)
    world["b"].policy = world["b"].policy.model_copy(update={"peers": ()})
    refused = [world.submit(nothing_job()) for _ in range(2)]
    for name in refused:
        world.wait(name, "refused")
        world.wait_closed(name)
    flow = world["b"].flow
    assert flow is not None
    assert [job.id for job in flow.jobs(every=False)] == [absent, done]
    assert {job.id for job in flow.jobs()} == {done, absent, *refused}
    assert flow.refused_by_policy() == 2
    assert len(world.a.jobs(every=False)) == 4
    assert world.a.refused_by_policy() == 0
