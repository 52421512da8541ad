"""Jobs that wait for room, between parties."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flow.pauses import HURRIED, Pauses
from node_manager.client import EventKind
from party.users import make_user
from tests.fakes.flow_world import SCIENTIST, World, hangs, succeeds
from tests.fakes.nodes import eventually
from tests.fakes.queueing import use_cluster_managers

CORES = 4


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(*names: str, **pauses: float) -> World:
        world = World(tmp_path, *names, pauses=Pauses(**{"first_s": 0.02, "room_s": 0.1, **pauses}))
        use_cluster_managers(world, tmp_path, CORES)
        made.append(world)
        return world.up()

    yield make
    for world in made:
        world.down()
        for party in world.parties.values():
            party.cluster.manager.close()


def job(cores: int, *others: str, initiator: str = "a", **settings: object) -> dict[str, Any]:
    """A job that does nothing, of so many cores at each party."""
    return {
        "schema": 1,
        "name": f"of {cores}",
        "initiator": initiator,
        "roles": {"guest": [initiator], **({"host": list(others)} if others else {})},
        "settings": settings,
        "tasks": {"idle": {"component": "nothing@1", "resources": {"cores": cores, "memory": "1MiB"}}},
    }


def fill(world: World, *others: str, cores: int = CORES) -> Callable[[], None]:
    """A job of `a` and others that fills their hosts until what is returned is called."""
    parties = [world[name] for name in ("a", *others)]
    for party in parties:
        party.cluster.script = hangs
    filling = world.submit(job(cores, *others))
    world.wait(filling, "running")
    orders = [eventually(lambda party=party: party.cluster.orders[-1]) for party in parties]

    def end() -> None:
        for party, order in zip(parties, orders, strict=True):
            party.cluster.tell(order, EventKind.SUCCEEDED, seconds=0.0)

    for party in parties:
        party.cluster.script = succeeds
    return end


def in_order(world: World, party: str) -> list[str]:
    """The jobs that began at a party, in the order in which they did."""
    return [order.job for order in world[party].cluster.orders]


def test_a_hundred_jobs_of_mixed_sizes_go_in_fair_order(make_world: Callable[..., World]) -> None:
    world = make_world("a", "b", room_s=3.0)
    end = fill(world, "b")
    wanted = [((1, 2, 4, 1, 3)[number % 5], ["b"] if number % 2 else []) for number in range(100)]
    sizes = {world.submit(job(cores, *others)): cores for cores, others in wanted}
    eventually(lambda: world["a"].cluster.waited.keys() >= set(sizes))
    queue = [place.job for place in world["a"].cluster.queue() if place.state == "waits"]
    end()
    eventually(lambda: len(world.a.jobs(limit=200, state="succeeded")) == 101 or time.sleep(0.2), 120)
    began = [queue.index(each) for each in in_order(world, "a")[1:]]
    passed = {each: sum(other > place for other in began[: began.index(place)]) for place, each in enumerate(queue)}
    assert [count for each, count in passed.items() if sizes[each] == CORES] == [0] * 20
    assert max(passed.values()) <= CORES


def test_what_waits_goes_by_priority_and_then_by_age(make_world: Callable[..., World]) -> None:
    world = make_world("a")
    end = fill(world)
    low, first, second, high = (world.submit(job(CORES, priority=priority)) for priority in (1, 5, 5, 9))
    eventually(lambda: world["a"].cluster.waited.keys() >= {low, first, second, high})
    end()
    world.wait(low, "succeeded")
    assert in_order(world, "a")[1:] == [high, first, second, low]


def test_a_long_queue_asks_for_room_no_more_often_than_its_first_jobs_need(make_world: Callable[..., World]) -> None:
    world = make_world("a")
    end = fill(world)
    waiting = [world.submit(job(CORES)) for _ in range(HURRIED * 4)]
    asked = world["a"].cluster.waited
    eventually(lambda: asked.keys() >= set(waiting))
    asked.clear()
    first, last = waiting[:HURRIED], waiting[-HURRIED:]
    eventually(lambda: sum(asked[each] for each in first) >= 8 * HURRIED)
    assert sum(asked[each] for each in last) < 4 * HURRIED
    for each in waiting:
        world.a.stop(each, user=SCIENTIST)
    end()


def test_the_priority_of_another_party_s_job_counts_for_no_more_than_the_policy_says(
    make_world: Callable[..., World],
) -> None:
    world = make_world("a", "b")
    end = fill(world)
    ours = world.submit(job(CORES))
    eventually(lambda: ours in world["a"].cluster.waited)
    urgent = world["b"].flow.submit(json.dumps(job(CORES, "a", initiator="b", priority=9)).encode(), user=SCIENTIST)
    eventually(lambda: urgent in world["a"].cluster.waited)
    end()
    world.wait(urgent, "succeeded", party="b")
    assert in_order(world, "a")[1:] == [ours, urgent]


@pytest.mark.parametrize("limit", ["max_running_jobs_per_peer", "max_running_jobs_per_user"])
def test_whoever_has_as_many_jobs_as_may_be_waits_and_others_go(make_world: Callable[..., World], limit: str) -> None:
    world = make_world("a", "b")
    at = world["a"] if limit.endswith("user") else world["b"]
    at.policy = at.policy.model_copy(update={limit: 1})
    end = fill(world, "b", cores=1)
    more = world.submit(job(1, "b"))
    view = world.until(lambda view: view.waiting_for, more)
    who = "ann" if limit.endswith("user") else "a"
    assert f"{who} may have room for 1 job(s) here at once" in view.waiting_for[0].text
    other = world.submit(job(1), user=make_user("eve", ["scientist"]))
    world.wait(other, "succeeded")
    assert world.a.job(more).state != "succeeded"
    end()
    world.wait(more, "succeeded")


def test_what_waited_for_long_keeps_what_it_got_at_one_party_while_it_waits_at_the_next(
    make_world: Callable[..., World],
) -> None:
    world = make_world("a", "b", patience_s=0.0)
    world["b"].cluster.script = hangs
    filling = world["b"].flow.submit(json.dumps(job(CORES, initiator="b")).encode(), user=SCIENTIST)
    world.wait(filling, "running", party="b")
    world["b"].cluster.script = succeeds
    both = world.submit(job(CORES, "b"))
    world.until(lambda view: view.waiting_for, both)
    small = world.submit(job(1))
    world.until(lambda view: view.waiting_for, small)
    assert [(place.job, place.state) for place in world["a"].cluster.queue()] == [(both, "held"), (small, "waits")]
    world["b"].cluster.tell(world["b"].cluster.orders[0], EventKind.SUCCEEDED, seconds=0.0)
    world.wait(small, "succeeded")
    assert in_order(world, "a") == [both, small]
