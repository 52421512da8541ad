"""What an initiator hears of a party's numbers and lines: what the party agreed to, while its policy still says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow.protocol.messages import JobOrder
from node_manager.client import EventKind, Order
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


@pytest.fixture
def order(world: World) -> Order:
    """What `b` runs of a job that goes on until it is told otherwise; `b` agreed to share all."""
    for party in world.parties.values():
        party.cluster.script = hangs
    share(world, "metrics", "logs")
    job = world.submit(nothing_job())
    world.until(running("b"), job)
    [found] = world["b"].cluster.orders
    return found


def share(world: World, *what: str) -> None:
    world["b"].policy = world["b"].policy.model_copy(update={"share": what})


def running(party: str, state: str = "running") -> Callable[..., bool]:
    return lambda view: any(
        side.party == party and side.state == state
        for task in view.tasks
        for attempt in task.attempts
        for side in attempt.sides
    )


def speak(world: World, order: Order, word: str, step: int) -> None:
    """A number, a line and how far it is, of `b`."""
    cluster = world["b"].cluster
    cluster.tell(order, EventKind.METRIC, name=word, step=step, value=1.0)
    cluster.tell(order, EventKind.LOG, level="info", text=word)
    cluster.tell(order, EventKind.PROGRESS, done=step, total=9, what=word)


def heard(world: World, order: Order, word: str) -> Callable[..., bool]:
    """Whether the initiator has number, line and progress of that word."""
    return lambda _: all(
        (
            word in {row.name for row in world.a.metrics(order.job)},
            word in {row.text for row in world.a.logs(order.job)},
            word in {row.what for row in world.a.progress(order.job)},
        )
    )


def all_heard(world: World, order: Order) -> str:
    numbers, lines = world.a.metrics(order.job), world.a.logs(order.job)
    return f"{numbers} {lines} {world.a.progress(order.job)} {world.a.job(order.job).model_dump_json()}"


def test_who_turns_sharing_off_is_obeyed_from_the_next_message_and_nothing_of_then_is_sent_later(
    world: World, order: Order
) -> None:
    speak(world, order, "early", 1)
    world.until(heard(world, order, "early"), order.job)
    share(world)
    speak(world, order, "hidden", 2)
    world["b"].cluster.tell(order, EventKind.SUCCEEDED)
    world.until(running("b", "succeeded"), order.job)
    assert "hidden" not in all_heard(world, order)
    share(world, "metrics", "logs")
    speak(world, order, "late", 3)
    world.until(heard(world, order, "late"), order.job)
    assert "hidden" not in all_heard(world, order)
    world.a.stop(order.job, SCIENTIST)
    world.wait_closed(order.job)


def test_the_words_of_an_error_stay_at_a_party_that_shares_no_lines_any_more(world: World, order: Order) -> None:
    share(world, "metrics")
    world["b"].cluster.tell(order, EventKind.FAILED, code="algorithms.bad_labels", message="hidden", hint="hidden too")
    assert "hidden" not in world.wait_closed(order.job).model_dump_json()
    flow = world["b"].flow
    assert flow is not None
    asked = JobOrder(job=order.job)
    assert "hidden" not in flow._closing.probe(asked, "a").model_dump_json()
    share(world, "metrics", "logs")
    assert "hidden" in flow._closing.probe(asked, "a").model_dump_json()


def test_what_was_not_agreed_to_is_not_sent_because_the_policy_allows_it_later(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    share(world)
    job = world.submit(nothing_job())
    world.until(running("b"), job)
    [order] = world["b"].cluster.orders
    share(world, "metrics", "logs")
    speak(world, order, "hidden", 1)
    world["b"].cluster.tell(order, EventKind.SUCCEEDED)
    world.until(running("b", "succeeded"), job)
    assert "hidden" not in all_heard(world, order)
    world.a.stop(job, SCIENTIST)
    world.wait_closed(job)
