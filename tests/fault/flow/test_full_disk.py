"""A Flow whose disk is full takes no new job, and ends those that it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow.job.states import JobState
from flow.protocol.messages import Method
from gateway.client import PeerUnreachable
from node_manager.client import EventKind
from runtime.errors import DiskFull
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).up()
    yield made
    made.down()


class NoRoom:
    """A database's disk."""

    def __init__(self) -> None:
        self.full = True
        self.asked = 0

    def require_room(self) -> None:
        self.asked += 1
        if self.full:
            raise DiskFull("No room left on /srv/secret for flow.sqlite.", hint="Make room there.")


def fill(world: World, party: str, monkeypatch: pytest.MonkeyPatch) -> NoRoom:
    service: Any = world[party].flow
    disk = NoRoom()
    monkeypatch.setattr(service._database, "require_room", disk.require_room)
    return disk


def test_a_proposal_waits_for_room_at_a_party_and_is_agreed_to_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = fill(world, "b", monkeypatch)
    job = world.submit(nothing_job())
    view = world.until(lambda v: v.waiting_for, job)
    assert view.waiting_for[0].text.startswith("b: Its disk is full.")
    disk.full = False
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_no_job_is_taken_and_one_that_runs_is_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda _: all(len(party.cluster.orders) == 1 for party in world.parties.values()), job)
    fill(world, "a", monkeypatch)
    with pytest.raises(DiskFull):
        world.submit(nothing_job())
    world.a.stop(job, SCIENTIST)
    assert world.wait_closed(job).state is JobState.CANCELLED


def test_a_proposal_that_is_known_gets_its_answer_without_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[NoRoom] = []

    def lose(_frm: str, to: str, method: str) -> None:
        if method == Method.PROPOSE and to == "b" and not lost:
            lost.append(fill(world, "b", monkeypatch))
            raise PeerUnreachable("The answer was lost.")

    world.hub.after = lose
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    assert world.wait(job, JobState.RUNNING)
    assert lost[0].full


def test_last_words_of_executors_wait_for_room_as_their_other_words_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.wait(job, JobState.RUNNING)
    world.until(lambda view: all(side.started_ms for side in view.tasks[0].attempts[0].sides), job)
    disk = fill(world, "a", monkeypatch)
    for party in world.parties.values():
        (order,) = party.cluster.orders
        party.cluster.tell(order, EventKind.SUCCEEDED, seconds=1.0, peak_bytes=1)
    assert world.until(lambda _: disk.asked > 1, job).state is JobState.RUNNING
    disk.full = False
    assert world.wait_closed(job).state is JobState.SUCCEEDED
