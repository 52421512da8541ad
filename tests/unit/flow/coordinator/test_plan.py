from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flow.coordinator.plan import (
    Agree,
    AttemptSnapshot,
    End,
    EndAttempt,
    Finish,
    Instruction,
    JobSnapshot,
    MarkClosed,
    Open,
    OpenAttempt,
    PartySnapshot,
    Propose,
    Publish,
    Refuse,
    Reserve,
    SideSnapshot,
    Start,
    Stop,
    TellPause,
    Wake,
    phase_now,
    step,
)
from flow.job.states import AttemptState, JobState
from flow.views.jobs import ErrorView
from node_manager.client import ResumePoint

ERROR = ErrorView(code="x.y", message="it broke", party="b")
S = AttemptState
POINT = ResumePoint(job="J", attempt=1, step=7)


def job(state: JobState = JobState.RUNNING, **changes: Any) -> JobSnapshot:
    parties = tuple(PartySnapshot(p, "agree", opened=True) for p in ("a", "b"))
    facts = JobSnapshot("J", state, parties, {"one": frozenset(), "two": frozenset({"one"})}, retries=1)
    return replace(facts, **changes)


def attempt(state: AttemptState, *sides: AttemptState, task: str = "one", **changes: Any) -> AttemptSnapshot:
    made = tuple(SideSnapshot(f"guest:{p}", p, s) for p, s in zip("abc", sides, strict=False))
    return replace(AttemptSnapshot(task, 1, state, sides=made), **changes)


def running(**attempts: AttemptSnapshot) -> JobSnapshot:
    return job(attempts=attempts)


def test_parties_without_an_answer_are_asked_and_the_limit_is_watched() -> None:
    parties = (PartySnapshot("a", "agree"), PartySnapshot("b"), PartySnapshot("c", "ask"))
    waiting = job(JobState.WAITING, parties=parties, wait_s=100, waited_s=40)
    assert step(waiting) == [Propose("J", "b"), Wake(60)]


def test_one_no_refuses_the_job_with_its_reasons() -> None:
    parties = (PartySnapshot("a", "agree"), PartySnapshot("b", "refuse", ("No such table.",)))
    [move] = step(job(JobState.WAITING, parties=parties))
    assert isinstance(move, Refuse)
    assert move.error.message == "b refuses: No such table."
    assert (move.error.code, move.error.party) == ("flow.job_refused", "b")


def test_all_yes_makes_the_manifest() -> None:
    assert step(job(JobState.WAITING)) == [Agree()]


def test_nothing_runs_before_every_party_has_the_manifest() -> None:
    parties = (PartySnapshot("a", "agree", opened=True), PartySnapshot("b", "agree"))
    assert step(job(JobState.AGREED, parties=parties))[:-1] == [Open("J", "b")]


def test_a_task_is_opened_once_what_it_needs_is_published_everywhere() -> None:
    assert step(job(JobState.AGREED)) == [OpenAttempt("one", 1)]
    half = attempt(S.SUCCEEDED, S.SUCCEEDED, S.SUCCEEDED)
    assert step(running(one=half))[:-1] == [Publish("J", "one", 1, "a"), Publish("J", "one", 1, "b")]
    published = replace(half, sides=tuple(replace(s, published=True) for s in half.sides))
    assert step(running(one=published)) == [OpenAttempt("two", 1)]


def test_an_attempt_is_reserved_then_started_at_each_party_then_ended() -> None:
    assert step(running(one=attempt(S.PENDING, S.PENDING, S.PENDING)))[:-1] == [Reserve("J", "one", 1)]
    reserved = attempt(S.RESERVED, S.RESERVED, S.RESERVED)
    assert step(running(one=reserved))[:-1] == [Start("J", "one", 1, "a"), Start("J", "one", 1, "b")]
    half = attempt(S.RUNNING, S.SUCCEEDED, S.RESERVED)
    assert step(running(one=half))[:-1] == [Start("J", "one", 1, "b")]
    done = attempt(S.RUNNING, S.SUCCEEDED, S.SUCCEEDED)
    assert step(running(one=done)) == [EndAttempt("one", 1, S.RUNNING, S.SUCCEEDED)]


def test_one_side_that_fails_ends_the_attempt_with_its_error() -> None:
    bad = attempt(S.RUNNING, S.RUNNING, S.FAILED)
    bad = replace(bad, sides=(bad.sides[0], replace(bad.sides[1], error=ERROR)))
    assert step(running(one=bad)) == [EndAttempt("one", 1, S.RUNNING, S.FAILED, retryable=False, error=ERROR)]


def test_a_real_failure_tells_more_than_a_loss() -> None:
    bad = attempt(S.RUNNING, S.LOST, S.FAILED)
    bad = replace(bad, sides=(replace(bad.sides[0], retryable=True), replace(bad.sides[1], error=ERROR)))
    assert step(running(one=bad))[0] == EndAttempt("one", 1, S.RUNNING, S.FAILED, retryable=False, error=ERROR)


def test_a_failure_that_no_retry_mends_ends_the_job() -> None:
    failed = attempt(S.FAILED, S.RUNNING, S.FAILED, error=ERROR)
    assert step(running(one=failed)) == [Finish(JobState.FAILED, ERROR)]


def test_a_loss_stops_the_others_then_opens_the_next_attempt() -> None:
    lost = attempt(S.LOST, S.RUNNING, S.LOST, retryable=True, error=ERROR)
    assert step(running(one=lost))[:-1] == [Stop("J", "one", 1, "a"), Stop("J", "one", 1, "b")]
    assert step(running(one=ended(rested_s=60))) == [OpenAttempt("one", 2)]


def ended(**changes: Any) -> AttemptSnapshot:
    """A lost attempt whose sides are all stopped."""
    lost = attempt(S.LOST, S.CANCELLED, S.LOST, retryable=True, error=ERROR)
    return replace(lost, sides=tuple(replace(s, stopped=True) for s in lost.sides), **changes)


@pytest.mark.parametrize(
    ("tries", "rested_s", "further", "number", "then"),
    [
        pytest.param(0, 0.0, False, 1, Wake(0.5), id="rests first"),
        pytest.param(0, 0.4, False, 1, Wake(0.1), id="the rest of it"),
        pytest.param(3, 1.0, False, 4, Wake(3.0), id="twice as long each time"),
        pytest.param(9, 1.0, False, 9, Wake(59.0), id="a minute at most"),
        pytest.param(3, 4.0, False, 4, OpenAttempt("one", 5), id="rested"),
        pytest.param(0, 0.0, True, 1, OpenAttempt("one", 2, POINT, came_further=True), id="came further: at once"),
        pytest.param(9, 0.0, True, 9, OpenAttempt("one", 10, POINT, came_further=True), id="and uses up no retry"),
        pytest.param(10, 60.0, False, 11, Finish(JobState.FAILED, ERROR), id="no retry is left"),
        pytest.param(0, 60.0, True, 31, Finish(JobState.FAILED, ERROR), id="not for ever, however far it comes"),
    ],
)
def test_an_attempt_that_came_further_uses_up_no_retry_and_others_rest(
    tries: int, rested_s: float, further: bool, number: int, then: Instruction
) -> None:
    left = POINT if further else None
    over = ended(tries=tries, rested_s=rested_s, further=further, left=left, attempt=number)
    first = step(job(attempts={"one": over}, retries=10))[0]
    assert (round(first.seconds, 6) if isinstance(first, Wake) else first) == (
        then.seconds if isinstance(then, Wake) else then
    )


def test_what_parties_still_hold_is_asked_before_a_job_fails_for_want_of_a_retry() -> None:
    lost = attempt(S.LOST, S.RUNNING, S.LOST, retryable=True, error=ERROR, tries=1)
    assert step(running(one=lost))[:-1] == [Stop("J", "one", 1, "a"), Stop("J", "one", 1, "b")]
    assert step(running(one=ended(tries=1))) == [Finish(JobState.FAILED, ERROR)]


def test_room_that_expired_does_not_use_up_a_retry() -> None:
    late = attempt(S.CANCELLED, S.CANCELLED, S.CANCELLED, counted=False, tries=1)
    late = replace(late, sides=tuple(replace(s, stopped=True) for s in late.sides))
    assert step(running(one=late)) == [OpenAttempt("one", 2)]


def test_when_every_task_is_published_the_job_has_succeeded() -> None:
    def done(task: str) -> AttemptSnapshot:
        made = attempt(S.SUCCEEDED, S.SUCCEEDED, task=task)
        return replace(made, sides=tuple(replace(s, published=True) for s in made.sides))

    assert step(running(one=done("one"), two=done("two"))) == [Finish(JobState.SUCCEEDED)]


def test_an_ended_job_is_closed_at_every_party_once() -> None:
    parties = (PartySnapshot("a", closed=True), PartySnapshot("b"))
    assert step(job(JobState.FAILED, parties=parties)) == [End("J", "b")]
    closed = tuple(replace(p, closed=True) for p in parties)
    assert step(job(JobState.FAILED, parties=closed)) == [MarkClosed()]
    assert step(job(JobState.FAILED, parties=closed, closed=True)) == []


def test_a_job_that_waited_too_long_tells_what_for() -> None:
    room = "room for task one at b: no GPU."
    [late] = step(job(waited_s=11, wait_s=10, waits=(room, "c, which cannot be reached: no answer.")))
    assert isinstance(late, Finish)
    assert late.error is not None
    told = "at last for room for task one at b: no GPU; and for c, which cannot be reached: no answer."
    assert late.error.message == f"The job waited for 10 s, which is its wait_s; {told}"
    [silent] = step(job(JobState.WAITING, parties=(PartySnapshot("c"),), waited_s=11, wait_s=10))
    assert isinstance(silent, Finish)
    assert "for the answer of c." in str(silent.error)


def test_running_time_and_waiting_time_have_their_own_limits() -> None:
    [late] = step(job(ran_s=11, timeout_s=10))
    assert isinstance(late, Finish)
    assert late.error is not None
    assert "ran for 10 s" in late.error.message
    [late] = step(job(JobState.WAITING, waited_s=11, wait_s=10))
    assert isinstance(late, Finish)
    assert late.error is not None
    assert "waited for 10 s" in late.error.message


def test_time_counts_as_waiting_while_a_party_is_absent_or_nothing_runs() -> None:
    assert phase_now(job()) == "waiting"
    runs = running(one=attempt(S.RUNNING, S.RUNNING))
    assert phase_now(runs) == "running"
    assert phase_now(replace(runs, parties=(PartySnapshot("a", absent=True),))) == "waiting"
    assert step(replace(runs, timeout_s=10, ran_s=4))[-1] == Wake(6)


def test_a_paused_job_starts_nothing() -> None:
    assert step(job(JobState.PAUSED, wait_s=10)) == [Wake(10)]


def test_all_parties_hear_of_a_pause_and_of_its_end_before_anything_starts() -> None:
    parties = (PartySnapshot("a", opened=True), PartySnapshot("b", opened=True, pause_due=True))
    told = [TellPause("J", "b"), Wake(10)]
    assert step(job(JobState.PAUSED, parties=parties, wait_s=10)) == told
    pending = {"one": attempt(S.PENDING, S.PENDING)}
    assert step(replace(running(**pending), parties=parties, wait_s=10)) == told


def test_an_attempt_that_was_paused_wants_room_unless_a_side_of_it_had_failed() -> None:
    assert step(running(one=attempt(S.PENDING, S.SUCCEEDED, S.PENDING)))[0] == Reserve("J", "one", 1)
    lost = step(running(one=attempt(S.PENDING, S.LOST, S.PENDING)))
    assert lost == [EndAttempt("one", 1, S.PENDING, S.LOST)]
