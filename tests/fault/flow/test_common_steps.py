"""An attempt that ends badly leaves checkpoints, and the next goes on from the last that all addresses share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.cli.job.text import job_lines
from flow.errors import CheckpointGone
from flow.job.states import JobState
from flow.pauses import Pauses
from flow.protocol.messages import Ack, KeptSteps, Message, decode, encode
from flow.protocol.resuming import CommonStep, StartOrder, Stopped
from node_manager.client import EventKind, Order
from runtime.clock import HybridTime
from tests.fakes.flow_world import Script, World, hangs, nothing_job, succeeds

SIDES = {"a": "guest:a", "b": "host:b", "c": "arbiter:c"}
NOBODYS = "01M84NKVCS9025W7T6P1XBY3P8"
NOW = HybridTime(1, 1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, pauses=Pauses(first_s=0.02, room_s=0.2, restart_s=0.02, last_follow_s=0.1)).up()
    yield made
    made.down()


def play(world: World, *left: dict[str, list[int]]) -> None:
    """Each attempt in its turn leaves these steps at the parties and is lost at `b`; the one after them succeeds."""

    def script_at(party: str) -> Script:
        def script(order: Order) -> list[tuple[EventKind, dict[str, object]]]:
            if order.attempt > len(left):
                return succeeds(order)
            held = world[party].store.checkpoints.setdefault((order.job, order.task, order.address), {})
            if steps := left[order.attempt - 1].get(party):
                held[order.attempt] = steps
            return [*hangs(order), *([(EventKind.LOST, {"cause": "signal"})] if party == "b" else [])]

        return script

    for party in world.parties:
        world[party].cluster.script = script_at(party)


def begun(world: World, job: str) -> dict[int, set[tuple[int, int] | None]]:
    """From which step of which attempt the executors of each attempt were told to go on."""
    found: dict[int, set[tuple[int, int] | None]] = {}
    for party in world.parties.values():
        for order in party.cluster.orders:
            at = (order.resume.attempt, order.resume.step) if order.resume else None
            assert order.resume is None or order.resume.job == job
            found.setdefault(order.attempt, set()).add(at)
    return found


def test_the_next_attempt_goes_on_from_the_step_that_all_share_and_no_retry_is_spent(world: World) -> None:
    first = {"a": [39, 40], "b": [40, 41], "c": [39, 40]}
    nothing: dict[str, list[int]] = {}
    second = {party: [44, 45] for party in "abc"}
    play(world, first, nothing, second)
    job = world.submit(nothing_job(retries=1))
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert begun(world, job) == {1: {None}, 2: {(1, 40)}, 3: {(1, 40)}, 4: {(3, 45)}}
    for party in "ab":
        told = list(job_lines(world[party].flow.job(job)))  # type: ignore[union-attr]
        assert "             attempt 4: succeeded, from step 45 of attempt 3" in told
        assert "             attempt 1: lost" in told
    assert [p.store.forgotten for p in world.parties.values()] == [[job]] * 3, "nothing is left of it"


def test_without_a_step_that_all_share_it_starts_afresh_and_a_retry_is_spent(world: World) -> None:
    play(world, {"a": [1, 2], "b": [3, 4], "c": [2, 3]}, {})
    view = world.wait_closed(world.submit(nothing_job(retries=1)))
    assert view.state is JobState.FAILED
    assert begun(world, view.id) == {1: {None}, 2: {None}}


def test_what_is_gone_when_the_next_attempt_starts_is_left_out_without_using_a_retry(world: World) -> None:
    play(world, {party: [4, 5] for party in "abc"})

    def lose(frm: str, to: str, method: str) -> None:
        held = world["c"].store.checkpoints
        if method == "start" and world.hub.count("stop"):  # of the second attempt
            for steps in held.values():
                steps.update({1: [4]} if 1 in steps else {})

    world.hub.before = lose
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.state is JobState.SUCCEEDED
    assert [a.state for a in view.tasks[0].attempts] == ["lost", "cancelled", "succeeded"]
    assert view.tasks[0].attempts[1].error.code == CheckpointGone.code
    assert begun(world, view.id)[3] == {(1, 4)}


def test_what_a_party_tells_of_sides_that_are_not_its_own_is_not_believed(world: World) -> None:
    play(world, {"a": [6, 7], "b": [6]}, {})
    answer_as(world, "stop", lambda order: Stopped(checkpoints=lies(order["job"])))
    view = world.wait_closed(world.submit(nothing_job(retries=1)))
    assert begun(world, view.id) == {1: {None}, 2: {None}}, "c holds nothing, whatever b says"


def lies(job: str) -> tuple[KeptSteps, ...]:
    """What `b` has no say in: sides of others, other jobs and tasks, attempts to come."""
    ours = KeptSteps(job=job, task="idle", attempt=1, address="host:b", steps=(6,))
    return (
        *(ours.model_copy(update={"address": address}) for address in SIDES.values()),
        ours.model_copy(update={"job": NOBODYS}),
        ours.model_copy(update={"task": "other"}),
        ours.model_copy(update={"attempt": 9}),
    )


def test_a_party_of_an_older_release_tells_nothing_and_the_next_attempt_starts_afresh(world: World) -> None:
    play(world, {party: [4, 5] for party in "abc"})
    answer_as(world, "stop", lambda _: Ack())
    view = world.wait_closed(world.submit(nothing_job(retries=1)))
    assert view.state is JobState.SUCCEEDED
    assert begun(world, view.id) == {1: {None}, 2: {None}}


def test_to_go_on_from_an_attempt_that_is_not_an_earlier_one_is_refused(world: World) -> None:
    play(world, {party: [4, 5] for party in "abc"})
    at_b = world.hub.handlers["b"]

    def twisted(call: Any) -> bytes:
        if call.method == "start" and (order := decode(StartOrder, call.body)[0]).goes_on:
            world["b"].store.checkpoints[order.job, "idle", "host:b"][order.attempt] = [4]
            twist = order.model_copy(update={"goes_on": CommonStep(attempt=order.attempt, step=4)})
            world.hub.handlers["b"] = at_b
            call = replace(call, body=encode(twist, NOW))
        return at_b(call)

    world.hub.handlers["b"] = twisted
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.tasks[0].attempts[1].error.code == CheckpointGone.code


def answer_as(world: World, method: str, answer: Callable[[dict[str, Any]], Message]) -> None:
    """`b` does as it is told, and answers this."""
    handler = world.hub.handlers["b"]

    def answering(call: Any) -> bytes:
        real = handler(call)
        return encode(answer(json.loads(call.body)["body"]), NOW) if call.method == method else real

    world.hub.handlers["b"] = answering
