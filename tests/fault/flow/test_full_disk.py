"""A Flow whose disk is full takes no new job, and ends those that it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow.job.states import JobState
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

    def require_room(self) -> None:
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
