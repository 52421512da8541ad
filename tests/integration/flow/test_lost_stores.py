"""A store that a party loses while a job runs: it is noticed, and no job runs for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.lost_stores import missing, reconciling
from flow.pauses import Pauses
from node_manager.client import EventKind
from tests.fakes.flow_world import FakeParty, World, hangs, nothing_job, succeeds

PAUSES = Pauses(probe_s=0.1)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for module in (reconciling, missing):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(missing, "MISSING_S", 0.2)
    made = World(tmp_path, pauses=PAUSES)
    for party in made.parties.values():
        party.cluster.script = hangs
    yield made.up()
    made.down()


def _running(world: World) -> str:
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].attempts and v.tasks[0].attempts[-1].state == "running", job)
    return job


def _lose_database(party: FakeParty) -> None:
    party.down()
    (party.folder / f"{party.name}.sqlite").unlink()


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_gateway_that_lost_its_store_costs_an_attempt_and_not_the_job(world: World, name: str) -> None:
    job = _running(world)
    for party in world.parties.values():
        party.cluster.script = succeeds
    world[name].gateway.open.clear()
    view = world.wait(job, "succeeded", "failed")
    assert view.state == "succeeded"
    first, second = view.tasks[0].attempts
    assert [side.error.code for side in first.sides if side.error] == ["flow.messages_lost"]
    assert f"The gateway of {name} lost its store" in next(s.error.message for s in first.sides if s.error)
    assert second.state == "succeeded"


def test_a_participant_that_lost_its_database_ends_the_job_everywhere_with_a_name(world: World) -> None:
    job = _running(world)
    _lose_database(world["b"])
    world["b"].up()
    view = world.wait_closed(job)
    assert (view.state, view.error.code, view.error.party) == ("failed", "flow.job_forgotten", "b")
    assert world.wait(job, "failed", party="c").error.code == "flow.job_forgotten"
    assert not world["b"].gateway.open
    assert world["b"].cluster.ended == [job]


def test_a_job_whose_initiator_lost_its_database_is_left(world: World) -> None:
    job = _running(world)
    _lose_database(world["a"])
    world["a"].up()
    for name in ("b", "c"):
        view = world.wait(job, "cancelled", party=name)
        assert (view.error.code, world[name].cluster.ended) == ("flow.job_forgotten", [job])
        assert "a, which led it, knows nothing of it any more" in view.error.message
    assert job in world["a"].cluster.ended


def test_an_executor_that_its_node_forgot_starts_again_in_its_attempt(world: World) -> None:
    job = _running(world)
    cluster = world["b"].cluster
    cluster.script = succeeds
    cluster.forget_executors()
    for party in ("a", "c"):
        for order in world[party].cluster.orders:
            world[party].cluster.tell(order, EventKind.SUCCEEDED, seconds=0.0)
    view = world.wait(job, "succeeded", "failed")
    assert (view.state, len(view.tasks[0].attempts)) == ("succeeded", 1)
    assert [order.incarnation for order in cluster.orders] == [1, 2]
