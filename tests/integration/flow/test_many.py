"""How many jobs and refused proposals of another party are taken and kept."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from flow.job.states import JobState
from flow.store.tables import event, job_party, part
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


def test_a_party_takes_no_more_jobs_of_another_than_may_be_open_and_goes_on_once_one_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow.store.proposal_limits.MOST_JOBS", 2)
    for party in world.parties.values():
        party.cluster.script = hangs
    first, second = world.submit(nothing_job()), world.submit(nothing_job())
    for name in (first, second):
        world.until(lambda v: v.state is JobState.RUNNING, name)
    third = world.submit(nothing_job())
    view = world.until(lambda v: len(v.waiting_for) == 2, third)
    assert "2 jobs of a have not ended here" in view.waiting_for[0].text
    b = world["b"].flow
    assert b is not None
    assert {job.id for job in b.jobs()} == {first, second}
    own = b.submit(b'{"schema": 1, "name": "own", "initiator": "b", "roles": {"guest": ["b"]}, '
                   b'"tasks": {"idle": {"component": "nothing@1"}}}', user=SCIENTIST)  # fmt: skip
    world.until(lambda v: v.state is JobState.RUNNING, own, party="b")
    world.a.stop(first, SCIENTIST)
    world.until(lambda v: v.state is JobState.RUNNING, third)
    for name in (second, third):
        world.a.stop(name, SCIENTIST)


def test_of_what_a_party_proposed_and_was_refused_the_newest_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow.store.proposal_limits.MOST_REFUSED", 2)
    done = world.submit(nothing_job())
    world.wait_closed(done)
    world["b"].policy = world["b"].policy.model_copy(update={"peers": ()})
    refused = []
    for _ in range(4):
        refused.append(world.submit(nothing_job()))
        world.wait(refused[-1], "refused")
        world.wait_closed(refused[-1])
    b = world["b"].flow
    assert b is not None
    assert [job.id for job in b.jobs()] == [refused[3], refused[2], done]
    assert b.events(refused[0]) == []
    assert b.events(done) != []
    with b._database.read() as connection:
        for table in (part, job_party, event):
            kept = connection.execute(
                select(func.count()).select_from(table).where(table.c.job.in_(refused[:2]))
            ).scalar_one()
            assert kept == 0, table.name
    assert len(world.a.jobs()) == 5  # its own are nobody's to forget
    world["b"].down()
    assert world["b"].up().job(refused[3]).state is JobState.REFUSED
