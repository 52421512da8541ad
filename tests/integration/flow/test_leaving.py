"""A party that leaves a job is out at once, whatever the party that leads it says or does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow.errors import PartyLeft, TooManyAttempts
from flow.job.states import MOST_UNCOUNTED, JobState
from flow.participant.leaving import Limit
from flow.protocol.messages import AttemptOrder, Message, Method, ReserveOrder, encode
from flow.rooms.clock_evidence import CONFIRM_S, LOOK_AGAIN_S
from flow.store.participations import change_part
from gateway.client import ClocksDiffer, PeerStatus, PeerUnreachable
from node_manager.client import EventKind
from runtime.clock import HybridTime
from tests.fakes.clock import FakeClock
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


def running(world: World, **settings: object) -> str:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job(**settings))
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, job)
    return job


def deaf_to_withdrawals(world: World) -> None:
    def before(_frm: str, _to: str, method: str) -> None:
        if method == "withdraw":
            raise PeerUnreachable("It does not listen.")

    world.hub.before = before


def order(world: World, method: Method, message: Message) -> None:
    world.hub.call("a", "b", method, encode(message, HybridTime(1_700_000_000_000, 1)))


def second_attempt(world: World, job: str) -> None:
    """What an initiator sends that goes on after we left."""
    for attempt in (1, 2):
        where: dict[str, Any] = {"job": job, "task": "idle", "attempt": attempt}
        with pytest.raises(PartyLeft, match="Stopped by a person of b"):
            order(world, Method.RESERVE, ReserveOrder(**where, lease_s=60))
        with pytest.raises(PartyLeft, match="Stopped by a person of b"):
            order(world, Method.START, AttemptOrder(**where))
        with pytest.raises(PartyLeft, match="Stopped by a person of b"):
            order(world, Method.PUBLISH, AttemptOrder(**where))


def test_a_party_that_left_runs_nothing_more_for_an_initiator_that_ignores_it(world: World) -> None:
    deaf_to_withdrawals(world)
    job, b = running(world), world["b"]
    assert b.flow is not None
    b.flow.stop(job, SCIENTIST)
    assert (b.cluster.running(), b.cluster.rooms, b.gateway.open, b.gateway.closed) == (0, {}, {}, [job])
    view = b.flow.job(job)
    assert (view.state, view.left) == (JobState.CANCELLED, "Stopped by ann.")
    assert "This party left it: Stopped by ann." in b.flow.why(job)
    second_attempt(world, job)
    b.down()
    b.up()
    second_attempt(world, job)
    assert (len(b.cluster.orders), b.cluster.rooms, b.gateway.open) == (1, {}, {})


def test_an_initiator_that_hears_of_it_late_cancels_the_job_and_all_parties_tell_the_same_end(world: World) -> None:
    deaf_to_withdrawals(world)
    job = running(world)
    world["b"].flow.stop(job, SCIENTIST)  # type: ignore[union-attr]
    world.hub.before = lambda *_: None
    view = world.wait_closed(job)
    assert (view.state, view.error.code) == (JobState.CANCELLED, "flow.withdrawn")
    for party in ("b", "c"):
        world.until(lambda v: v.closed and v.state is JobState.CANCELLED, job, party=party)
    assert view.error.message == "b withdrew from the job. Stopped by a person of b."
    assert "ann" not in "".join(world["c"].flow.why(job))  # type: ignore[union-attr]
    assert world["b"].flow.job(job).left == "Stopped by ann."  # type: ignore[union-attr]


def test_what_could_not_be_closed_when_a_party_left_is_closed_as_soon_as_it_can_be(world: World) -> None:
    job, b = running(world), world["b"]
    assert b.flow is not None
    works: Callable[[str], None] = b.gateway.close_job

    def broken(_job: str) -> None:
        raise PeerUnreachable("The gateway does not answer.")

    deaf_to_withdrawals(world)
    b.gateway.close_job = broken  # type: ignore[method-assign]
    b.flow.stop(job, SCIENTIST)
    assert (b.cluster.running(), b.cluster.rooms) == (0, {})
    b.down()
    b.gateway.close_job = works  # type: ignore[method-assign]
    flow = b.up()

    def left() -> bool:
        return str(flow._database.rows(job).part.state) == "left"

    world.until(lambda _: left(), job, party="b")
    assert (b.gateway.open, b.gateway.closed) == ({}, [job])


@pytest.mark.parametrize("attempt", [1 + 1 + MOST_UNCOUNTED + 1, 77])
def test_an_attempt_beyond_what_the_manifest_allows_is_refused_by_the_party_itself(world: World, attempt: int) -> None:
    job, b = running(world, retries=1), world["b"]
    tokens = list(b.gateway.tokens)
    where: dict[str, Any] = {"job": job, "task": "idle", "attempt": attempt}
    with pytest.raises(TooManyAttempts, match="allows 22 attempts of a task"):
        order(world, Method.RESERVE, ReserveOrder(**where, lease_s=60))
    with pytest.raises(TooManyAttempts):
        order(world, Method.START, AttemptOrder(**where))
    assert b.gateway.tokens == tokens  # so its gateway takes nothing of such an attempt
    last = {**where, "attempt": 1 + 1 + MOST_UNCOUNTED}
    order(world, Method.RESERVE, ReserveOrder(**last, lease_s=60))
    world.a.stop(job, SCIENTIST)


@pytest.mark.parametrize(("limit", "ran_ms"), [("timeout_s", 10_000_000), ("wait_s", 0)])
def test_a_job_that_its_initiator_lets_run_on_ends_here_when_its_time_is_over(
    world: World, limit: str, ran_ms: int
) -> None:
    job, b = running(world), world["b"]
    world["a"].down()
    assert b.flow is not None
    with b.flow._database.write() as writer:
        long_ago = {"since_ms": 1} if limit == "wait_s" else {}
        change_part(writer, job, ran_ms=ran_ms, **long_ago)
    b.down()
    flow = b.up()
    view = world.until(lambda v: v.left, job, party="b")
    assert limit in view.left
    assert (view.state, view.error.code) == (JobState.CANCELLED, "flow.timed_out")
    assert flow._leaving.check(Limit(job)) is None
    world.until(lambda _: b.gateway.closed == [job], job, party="b")
    assert (b.cluster.running(), b.cluster.rooms) == (0, {})


@pytest.mark.parametrize("says", ["our card is not valid now", "every clock differs", "nobody answers"])
def test_one_start_with_a_clock_far_ahead_ends_no_job(world: World, says: str) -> None:
    job, b = running(world), world["b"]
    if says == "our card is not valid now":
        b.gateway.problem = "The card of b has expired."
    elif says == "every clock differs":
        b.gateway.links = {p: PeerStatus(p, (), "up", 1.0, 0, "Differs.", ClocksDiffer.code) for p in "ac"}
    else:
        world.hub.down |= {"a", "c"}
    b.down()
    clock = b.clock = FakeClock(datetime.now(UTC) + timedelta(days=1_100))
    flow = b.up()
    wait_s = flow._leaving.check(Limit(job))
    assert wait_s is not None
    assert wait_s <= LOOK_AGAIN_S
    clock.advance(CONFIRM_S - 1)
    assert flow._leaving.check(Limit(job)) is not None
    assert flow.job(job).left == ""
    b.down()
    world.hub.down.clear()
    b.gateway.problem, b.gateway.links = "", {}
    b.clock = None
    flow = b.up()
    wait_s = flow._leaving.check(Limit(job))
    assert wait_s is not None
    assert wait_s > LOOK_AGAIN_S
    world.a.stop(job, SCIENTIST)
    assert world.wait_closed(job).error is None


def test_a_clock_that_is_set_right_while_the_party_runs_counts_as_what_it_says_then(world: World) -> None:
    job, b = running(world), world["b"]
    b.down()
    clock = b.clock = FakeClock(datetime.now(UTC) + timedelta(days=1_100))
    b.gateway.problem = "The card of b has expired."
    flow = b.up()
    assert flow._leaving.check(Limit(job)) == LOOK_AGAIN_S
    clock._now -= timedelta(days=1_100)
    b.gateway.problem = ""
    wait_s = flow._leaving.check(Limit(job))
    assert wait_s is not None
    assert wait_s > LOOK_AGAIN_S
    world.a.stop(job, SCIENTIST)


def test_a_limit_that_no_other_party_confirms_is_kept_after_a_while_of_running(world: World) -> None:
    job, b = running(world), world["b"]
    world.hub.down |= {"a", "c"}
    b.down()
    clock = b.clock = FakeClock(datetime.now(UTC) + timedelta(days=1_100))
    flow = b.up()
    assert flow._leaving.check(Limit(job)) is not None
    clock.advance(CONFIRM_S)
    assert flow._leaving.check(Limit(job)) is None
    left = flow.job(job).left
    assert "by the clock here, which says 20" in left
    assert "no other party could be asked, and a has not ended it." in left
    world.hub.down.clear()


def test_only_time_in_which_executors_tell_news_counts_as_running(world: World) -> None:
    job, b = running(world), world["b"]
    flow = b.flow
    assert flow is not None
    with flow._database.write() as writer:
        change_part(writer, job, ran_ms=0, heard_ms=writer.now_ms - 5_000)
    b.cluster.tell(b.cluster.orders[-1], EventKind.PROGRESS, done=1, total=2, what="rounds")
    world.until(lambda _: flow.progress(job) != [], job, party="b")
    with flow._database.write() as writer:
        ran = writer.rows(job).part.ran_ms
        change_part(writer, job, heard_ms=writer.now_ms - 3_600_000)
    assert ran >= 5_000
    b.cluster.tell(b.cluster.orders[-1], EventKind.PROGRESS, done=2, total=2, what="rounds")
    world.until(lambda _: flow._database.rows(job).part.ran_ms > ran, job, party="b")
    assert flow._database.rows(job).part.ran_ms == ran + 60_000
    world.a.stop(job, SCIENTIST)
