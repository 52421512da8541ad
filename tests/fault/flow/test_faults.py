"""What dies while a job lives: parties, replies, executors, Flows. The job goes on, nothing happens twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.job.states import AttemptState, JobState
from flow.pauses import Pauses
from flow.protocol.messages import Method
from gateway.client import PeerUnreachable
from node_manager.client import EventKind
from runtime.errors import DiskFull
from tests.fakes.flow_world import SCIENTIST, World, fails, hangs, nothing_job, succeeds, train_job
from tests.fakes.nodes import eventually

QUICK = Pauses(first_s=0.02, last_s=0.2, room_s=0.2, restart_s=0.02, last_follow_s=0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, pauses=QUICK).up()
    yield made
    made.down()


def once(method: Method, to: str = "b") -> Callable[[str, str, str], None]:
    """Raises at the first call of a method to a party."""
    left = [1]
    lock = threading.Lock()

    def fault(frm: str, target: str, asked: str) -> None:
        with lock:
            if asked == method and target == to and left[0]:
                left[0] -= 1
                raise PeerUnreachable(f"cut on the way to {target}")

    return fault


def started(world: World) -> Counter[tuple[str, str, int, str]]:
    return Counter((o.job, o.task, o.attempt, o.address) for p in world.parties.values() for o in p.cluster.orders)


def hang_everywhere(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = hangs


def finish_everywhere(world: World) -> None:
    for party in world.parties.values():
        party.cluster.script = succeeds
        for order in list(party.cluster.orders):
            key = (order.job, order.task, order.attempt, order.address)
            if key in party.cluster._running:
                party.cluster.tell(order, EventKind.SUCCEEDED, seconds=1.0)


@pytest.mark.parametrize(
    "method", [Method.PROPOSE, Method.OPEN, Method.RESERVE, Method.START, Method.PUBLISH, Method.END]
)
@pytest.mark.parametrize("lost", ["order", "reply"])
def test_an_order_or_its_reply_that_is_lost_is_sent_again_and_nothing_happens_twice(
    world: World, method: Method, lost: str
) -> None:
    if lost == "order":
        world.hub.before = once(method)
    else:
        world.hub.after = once(method)
    job = world.submit(train_job())
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert set(started(world).values()) == {1}
    assert {a.attempt for t in world.a.job(job).tasks for a in t.attempts} == {1}


@pytest.mark.parametrize("lost", ["order", "reply"])
def test_a_report_that_is_lost_is_sent_again_and_counted_once(world: World, lost: str) -> None:
    metric = (EventKind.METRIC, {"name": "loss", "step": 0, "value": 0.5})
    world["b"].cluster.script = lambda o: [metric, *succeeds(o)]
    setattr(world.hub, "before" if lost == "order" else "after", once(Method.REPORT, to="a"))
    job = world.submit(nothing_job())
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert [(r.party, r.value) for r in world.a.metrics(job)] == [("b", 0.5)]
    assert sum(e.kind == "side.succeeded" for e in world.a.events(job)) == 3


@pytest.mark.parametrize("moment", ["propose", "open", "reserve", "start", "publish", "end"])
def test_a_party_that_is_down_makes_the_job_wait_visibly(world: World, moment: str) -> None:
    def goes(frm: str, to: str, method: str) -> None:
        if method == moment and to == "b":
            world.hub.down.add("b")
            world.hub.before = lambda *_: None
            fell.set()

    fell = threading.Event()
    world.hub.before = goes
    job = world.submit(nothing_job())
    if moment == "end":
        assert fell.wait(10)
        assert world.a.job(job).state == "succeeded"
    else:
        view = world.until(lambda v: v.waiting_for, job)
        assert [(w.who, w.what) for w in view.waiting_for] == [("b", "party")]
        assert "b, which is absent" in world.a.why(job)[0]
    world.hub.down.clear()
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert view.waiting_for == ()
    kinds = [e.kind for e in world.a.events(job) if e.party == "b"]
    assert kinds.index("party.absent") < kinds.index("party.back")


def test_an_unknown_party_at_the_gateway_fails_the_job_with_its_name(world: World) -> None:
    answered = threading.Event()

    def before(_frm: str, to: str, _method: str) -> None:
        if to == "b" and answered.wait(60):  # else a itself may find that it does not know b
            world.hub.parties.discard("b")

    world.hub.before = before
    world.hub.after = lambda _frm, to, _method: answered.set() if to == "a" else None
    view = world.wait(world.submit(nothing_job()), "failed")
    assert view.error.code == "gateway.peer_unknown"
    assert "b cannot be asked" in view.error.message


def test_a_running_party_that_falls_silent_is_noticed(world: World) -> None:
    world["a"].down()
    world["a"].pauses = replace(QUICK, probe_s=0.1)
    world["a"].up()
    hang_everywhere(world)
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, job)
    world.hub.down.add("b")
    view = world.until(lambda v: any(waiting.who == "b" for waiting in v.waiting_for), job)
    assert view.state is JobState.RUNNING
    world.hub.down.clear()
    finish_everywhere(world)
    assert world.wait(job, "succeeded").waiting_for == ()


def test_a_lost_executor_gets_a_new_attempt_after_the_others_were_stopped(world: World) -> None:
    hang_everywhere(world)
    world["b"].cluster.script = lambda o: [(EventKind.STARTED, {}), (EventKind.LOST, {"cause": "signal 9"})]
    job = world.submit(nothing_job(retries=1))
    world.until(lambda v: len(v.tasks[0].attempts) == 2, job)
    world["b"].cluster.script = succeeds
    world.until(lambda v: v.tasks[0].attempts[-1].state in ("running", "succeeded", "lost"), job)
    view = world.until(lambda v: v.ended_ms or v.tasks[0].attempts[-1].state == "running", job)
    if view.ended_ms is None:
        finish_everywhere(world)
    view = world.wait_closed(job)
    first = view.tasks[0].attempts[0]
    assert first.state is AttemptState.LOST
    assert first.error.code == "flow.executor_lost"
    assert "signal 9" in first.error.message
    assert {s.state for s in first.sides} <= {"lost", "cancelled"}
    assert {n.attempt for n in world["c"].store.discarded} >= {1}


def test_retries_are_used_up(world: World) -> None:
    world["b"].cluster.script = lambda o: [(EventKind.STARTED, {}), (EventKind.LOST, {"cause": "killed for memory"})]
    view = world.wait_closed(world.submit(nothing_job(retries=2)))
    assert view.state is JobState.FAILED
    assert [a.state for a in view.tasks[0].attempts] == ["lost"] * 3
    assert view.error.code == "flow.executor_lost"
    assert all(p.cluster.rooms == {} for p in world.parties.values())


def test_a_passing_failure_is_retried_a_lasting_one_is_not(world: World) -> None:
    world["b"].cluster.script = lambda o: fails(
        "gateway.peer_unreachable" if o.attempt == 1 else "algorithms.bad_labels"
    )(o)
    view = world.wait_closed(world.submit(nothing_job(retries=5)))
    assert view.error.code == "algorithms.bad_labels"
    assert len(view.tasks[0].attempts) == 2


def test_room_that_expired_before_the_start_is_taken_anew_without_using_a_retry(world: World) -> None:
    world["c"].cluster.expire_next = 1
    view = world.wait_closed(world.submit(nothing_job(retries=0)))
    assert view.state is JobState.SUCCEEDED
    first, second = view.tasks[0].attempts
    assert first.state is AttemptState.CANCELLED
    assert first.error.code == "flow.reservation_expired"
    assert second.state is AttemptState.SUCCEEDED


def test_a_participant_whose_flow_restarts_goes_on_from_its_store(world: World) -> None:
    hang_everywhere(world)
    job = world.submit(nothing_job())
    world.until(lambda v: all(s.state == "running" for a in v.tasks[0].attempts for s in a.sides) and v.started_ms, job)
    world["b"].down()
    finish_everywhere(world)
    world.until(lambda v: sum(s.state == "succeeded" for s in v.tasks[0].attempts[0].sides) == 2, job)
    world["b"].up()
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert set(started(world).values()) == {1}


@pytest.mark.parametrize("method", [Method.PROPOSE, Method.OPEN, Method.RESERVE, Method.START, Method.PUBLISH])
def test_an_initiator_whose_flow_restarts_goes_on_from_its_store(world: World, method: Method) -> None:
    reached = threading.Event()

    def cut(frm: str, to: str, asked: str) -> None:
        if asked == method and frm == "a" and to == "c":
            reached.set()
            raise PeerUnreachable("the initiator dies here")

    world.hub.before = cut
    job = world.submit(train_job())
    assert reached.wait(10)
    world["a"].down()
    world.hub.before = lambda *_: None
    world["a"].up()
    assert world.wait_closed(job).state is JobState.SUCCEEDED
    assert set(started(world).values()) == {1}


def test_an_initiator_that_was_away_hears_of_ends_later(world: World) -> None:
    hang_everywhere(world)
    job = world.submit(nothing_job())
    world.until(
        lambda v: v.tasks[0].state == "running" and all(p.cluster.running() for p in world.parties.values()), job
    )
    world["a"].down()
    finish_everywhere(world)
    world["a"].up()
    assert world.wait_closed(job).state is JobState.SUCCEEDED


def test_a_job_stopped_while_a_party_is_down_ends_there_when_it_returns(world: World) -> None:
    hang_everywhere(world)
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running" and world["b"].cluster.running() == 1, job)
    world.hub.down.add("b")
    world.a.stop(job, SCIENTIST)
    assert world.a.job(job).state is JobState.CANCELLED
    assert world["b"].cluster.running() == 1
    world.hub.down.clear()
    world.wait_closed(job)
    assert world["b"].cluster.running() == 0
    assert world["b"].flow.job(job).state is JobState.CANCELLED  # type: ignore[union-attr]


def test_no_room_at_the_last_party_gives_the_others_room_back(world: World) -> None:
    world["c"].cluster.cores = 0
    job = world.submit(nothing_job())
    world.until(lambda v: v.waiting_for, job)
    eventually(lambda: world["a"].cluster.rooms == world["b"].cluster.rooms == {})
    order = [to for _, to, method in world.hub.calls if method == "reserve"][:3]
    assert order == ["a", "b", "c"]
    world["c"].cluster.cores = 1
    assert world.wait(job, "succeeded").state == "succeeded"


def test_orders_of_a_party_that_does_not_lead_are_refused(world: World) -> None:
    from flow.errors import BadMessage, NotInitiator, UnknownJob, UnknownMethod
    from flow.protocol.messages import (
        Ack,
        AttemptOrder,
        EndOrder,
        JobOrder,
        Report,
        Reserved,
        ReserveOrder,
        SideReport,
        StopOrder,
        Withdrawal,
    )
    from flow.rooms.peer_calls import PeerCalls

    hang_everywhere(world)
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks[0].state == "running", job)
    evil = PeerCalls(world["c"].gateway, world["c"].flow._database)  # type: ignore[union-attr, arg-type]
    attempt: dict[str, Any] = {"job": job, "task": "idle", "attempt": 1}
    orders: list[tuple[Method, Any, Any]] = [
        (Method.START, AttemptOrder(**attempt), Ack),
        (Method.STOP, StopOrder(**attempt, state=AttemptState.FAILED), Ack),
        (Method.RESERVE, ReserveOrder(**attempt, lease_s=1), Reserved),
        (Method.PUBLISH, AttemptOrder(**attempt), Ack),
        (Method.GIVE_BACK, AttemptOrder(**attempt), Ack),
        (Method.END, EndOrder(job=job, state=JobState.FAILED), Ack),
        (Method.PROBE, JobOrder(job=job), Report),
        (Method.REPORT, Report(job=job), Ack),
        (Method.WITHDRAW, Withdrawal(job=job, reason=""), Ack),
    ]
    for method, order, reply in orders:
        with pytest.raises((NotInitiator, UnknownJob)):
            evil.ask("b", method, order, reply, 1)
    forged = SideReport(task="idle", attempt=1, address="host:b", state=AttemptState.SUCCEEDED)
    with pytest.raises(BadMessage, match="sides of another party"):
        evil.ask("a", Method.REPORT, Report(job=job, sides=(forged,)), Ack, 1)
    leader = PeerCalls(world["a"].gateway, world["a"].flow._database)  # type: ignore[union-attr, arg-type]
    with pytest.raises(BadMessage, match="has no task"):
        leader.ask("b", Method.RESERVE, ReserveOrder(job=job, task="zzz", attempt=1, lease_s=1), Reserved, 1)
    with pytest.raises(UnknownJob):
        leader.ask("b", Method.PROBE, JobOrder(job="01M84NKVCS9025W7T6P1XBY3P8"), Report, 1)
    with pytest.raises(UnknownMethod):
        world.hub.call("a", "b", "format_disk", b"")
    assert world.a.job(job).state is JobState.RUNNING


@pytest.mark.parametrize("method", ["reserve", "start"])
def test_a_party_whose_disk_is_full_is_named_for_it_and_the_job_goes_on_when_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    full = True
    cluster = world["b"].cluster
    goes_on = getattr(cluster, method)

    def refuse(*arguments: Any) -> Any:
        if full:
            raise DiskFull("No room left on /srv/secret for /srv/secret/state.", hint="Make room there.")
        return goes_on(*arguments)

    monkeypatch.setattr(cluster, method, refuse)
    job = world.submit(nothing_job())
    view = world.until(lambda v: v.waiting_for, job)
    assert view.waiting_for[0].text.startswith("b: Its disk is full.")
    why = world.a.why(job)[0]
    assert "absent" not in why
    assert "secret" not in why
    assert [e.kind for e in world.a.events(job) if e.kind in {"party.absent", "party.hindered"}] == ["party.hindered"]
    full = False
    view = world.wait_closed(job)
    assert view.state is JobState.SUCCEEDED
    assert [len(task.attempts) for task in view.tasks] == [1] * len(view.tasks)
