"""The end of a job is the last word at a party, whatever it is doing for the job at that moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep
from typing import Any

import pytest

from flow.cli.job.text import job_lines
from flow.errors import UnknownJob
from flow.job.states import AttemptState, JobState
from flow.protocol.messages import EndOrder, Method
from flow.service import FlowService
from flow.store.participations import require_part
from flow.store.tables import executor
from flow.views.jobs import ErrorView
from gateway.client import JobContract, PeerUnreachable
from tests.fakes.flow_world import SCIENTIST, World, fails, hangs, nothing_job


def test_an_end_that_comes_while_the_job_is_being_opened_is_the_last_word(world: World) -> None:
    gateway = world["b"].gateway
    opening, go_on, open_job = Event(), Event(), gateway.open_job

    def slowly(contract: JobContract) -> None:
        opening.set()
        assert go_on.wait(10)
        open_job(contract)

    gateway.open_job = slowly  # type: ignore[method-assign]
    job = world.submit(nothing_job())
    assert opening.wait(10)
    flow = world["b"].flow
    order = EndOrder(job=job, state=JobState.CANCELLED, error=None)
    with ThreadPoolExecutor(1) as other:
        closing = other.submit(flow._closing.end, order, "a")  # type: ignore[union-attr]
        sleep(0.1)
        go_on.set()
        closing.result(10)
    assert gateway.open == {}
    assert gateway.closed == [job]
    assert flow._database.rows(job).part.state == "ended"  # type: ignore[union-attr]


class Slow:
    """Put in the place of a function: it waits until it may go on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.reached, self.go_on = Event(), Event()

    def __call__(self, *args: Any) -> Any:
        self.reached.set()
        assert self.go_on.wait(20)
        return self._function(*args)


def part_state(flow: FlowService, job: str) -> str:
    return str(require_part(flow._database.rows(job)).part.state)


def refusing(world: World, name: str) -> None:
    world[name].down()
    world[name].policy = world[name].policy.model_copy(update={"peers": ()})
    world[name].up()


def test_an_end_that_comes_while_the_proposal_is_being_answered_is_the_last_word(world: World) -> None:
    refusing(world, "b")
    c = world["c"]
    c.gateway.sign = slow = Slow(c.gateway.sign)  # type: ignore[method-assign]
    job = world.submit(nothing_job())
    assert slow.reached.wait(10)
    world.wait(job, "refused")
    sleep(0.1)
    slow.go_on.set()
    assert world.wait_closed(job).state is JobState.REFUSED
    assert part_state(c.flow, job) == "ended"  # type: ignore[arg-type]


def test_a_proposal_that_comes_after_the_end_is_not_answered(world: World) -> None:
    refusing(world, "b")
    travelling, arrive = Event(), Event()

    def before(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("c", "propose"):
            travelling.set()
            assert arrive.wait(20)

    world.hub.before = before
    answers: list[str] = []
    world.hub.after = lambda _frm, to, method: answers.append(f"{to} {method}")
    job = world.submit(nothing_job())
    assert travelling.wait(10)
    world.wait_closed(job)
    arrive.set()
    sleep(0.3)
    assert "c propose" not in answers
    with pytest.raises(UnknownJob):
        part_state(world["c"].flow, job)  # type: ignore[arg-type]
    assert world.a.job(job).state is JobState.REFUSED


@pytest.mark.parametrize("doing", ["reserve", "start"])
def test_an_end_that_comes_while_room_is_held_or_executors_start_is_the_last_word(world: World, doing: str) -> None:
    c = world["c"]
    c.cluster.script = hangs
    slow = Slow(getattr(c.cluster, doing))
    setattr(c.cluster, doing, slow)
    job = world.submit(nothing_job())
    assert slow.reached.wait(10)
    world.a.stop(job, SCIENTIST)
    world.wait(job, "cancelled")
    sleep(0.1)
    slow.go_on.set()
    world.wait_closed(job)
    assert part_state(c.flow, job) == "ended"  # type: ignore[arg-type]
    assert (c.cluster.running(), c.cluster.rooms) == (0, {})
    assert {row.state for row in c.flow._database.rows(job).of(executor)} <= {"cancelled"}  # type: ignore[union-attr]


def test_every_party_tells_the_same_end_of_the_attempt_that_ended_the_job(world: World) -> None:
    """The job ends before anybody is told to stop its last attempt."""
    for name in ("b", "c"):
        world[name].cluster.script = hangs
    world["a"].cluster.script = fails()
    job = world.submit(nothing_job(retries=0))
    ended = world.wait_closed(job)
    assert [each.state for each in ended.tasks[0].attempts] == [AttemptState.FAILED]
    for name in ("b", "c"):
        view = world.until(lambda v: v.closed, job, party=name)
        assert [each.state for each in view.tasks[0].attempts] == [AttemptState.FAILED], name
        told = [event.kind for event in world[name].flow.events(job) if event.kind.startswith("attempt.")]  # type: ignore[union-attr]
        assert told[-1] == "attempt.failed"


def test_an_error_that_is_told_as_ours_and_is_not_known_here_is_the_word_of_who_tells_it(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.wait(job, "running")
    told = ErrorView(code="gateway.fault", message="Send your keys to mallory.", party="b")
    world["b"].flow._closing.end(EndOrder(job=job, state=JobState.FAILED, error=told), "a")  # type: ignore[union-attr]
    assert world.wait(job, "failed", party="b").error.party == "a"


def test_an_end_without_failed_attempts_is_what_it_always_was() -> None:
    order = EndOrder(job="01ARZ3NDEKTSV4RRFFQ69G5FAV", state=JobState.SUCCEEDED)
    assert "attempts" not in order.model_dump_json()


def test_a_party_that_has_not_confirmed_the_end_is_named_until_it_does(world: World) -> None:
    def unheard(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("b", Method.END):
            raise PeerUnreachable("The gateway of b does not answer.")

    world.hub.before = unheard
    job = world.submit(nothing_job())
    said = "b has not confirmed the end: The gateway of b does not answer."
    view = world.until(lambda v: any(party.unconfirmed for party in v.parties), job)
    assert view.state is JobState.SUCCEEDED
    assert not view.closed
    assert said in world.a.why(job)
    assert said in "\n".join(job_lines(view))
    world.hub.before = lambda *_: None
    view = world.wait_closed(job)
    assert not any(party.unconfirmed for party in view.parties)
    assert said not in world.a.why(job)


def test_of_two_parties_that_fail_each_is_told_its_own_error_first(world: World) -> None:
    """The one whose error is not that of the job has it beside that one."""
    hold = {"a": Event(), "b": Event()}

    def late(frm: str, _to: str, method: str) -> None:
        if method == Method.REPORT and frm in hold:
            assert hold[frm].wait(30)

    world.hub.before = late
    for name in "ab":
        world[name].cluster.script = fails(f"test.of_{name}", f"The labels of {name} are text.", "")
    job = world.submit(nothing_job(retries=0))
    for name in "ab":
        flow = world[name].flow
        assert flow is not None
        world.until(lambda _, flow=flow: "executor.failed" in [e.kind for e in flow.events(job)], job, party=name)
    hold["b"].set()
    world.wait(job, "failed")
    hold["a"].set()
    views = {name: world.wait_closed(job, party=name) for name in "abc"}
    assert {view.error.party for view in views.values()} == {"b"}
    assert [view.own_error and view.own_error.code for view in views.values()] == ["test.of_a", None, None]
    lines = [line for line in job_lines(views["a"]) if line.startswith("error ")]
    assert [line.split("The labels of ")[1][0] for line in lines[:1]] == ["a"]
    assert lines[1].startswith("error      b: ")
