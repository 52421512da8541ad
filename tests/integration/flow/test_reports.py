"""When an initiator takes what a party tells of its sides: from agreement until that party has heard of the end."""

from __future__ import annotations

import pytest

from flow.coordinator.coordinator import Probe
from flow.errors import BadMessage, JobNotRunning
from flow.participant.report_sender import Delivery
from flow.pauses import Pauses
from flow.protocol.messages import Ack, Decision, LogReport, Method, MetricReport, ProgressReport, Report
from flow.rooms.peer_calls import PeerCalls
from gateway.client import PeerUnreachable
from node_manager.client import EventKind
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job


def told(job: str, attempt: int = 1) -> Report:
    """A number, a line and progress of `b`."""
    place = {"task": "idle", "attempt": attempt, "address": "host:b", "at_ms": 1}
    return Report(
        job=job,
        metrics=(MetricReport(**place, name="odd", step=0, value=1.0),),
        logs=(LogReport(**place, incarnation=1, sequence=900, level="info", text="odd"),),
        progress=(ProgressReport(**place, done=1, total=2, what="odd"),),
    )


def report(world: World, message: Report) -> None:
    flow = world["b"].flow
    assert flow is not None
    PeerCalls(world["b"].gateway, flow._database).ask("a", Method.REPORT, message, Ack, 1)


def known(world: World, job: str) -> str:
    return f"{world.a.metrics(job)} {world.a.logs(job)} {world.a.progress(job)}"


def running(world: World) -> str:
    for party in world.parties.values():
        party.cluster.script = hangs
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks and v.tasks[0].attempts and all(
        side.state == "running" for side in v.tasks[0].attempts[-1].sides
    ), job)  # fmt: skip
    return job


def test_nothing_is_told_of_a_job_that_is_not_agreed_on(world: World) -> None:
    world["c"].policy = world["c"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(nothing_job())
    world.until(lambda view: any(waiting.who == "c" for waiting in view.waiting_for), job)
    with pytest.raises(JobNotRunning, match="not agreed on"):
        report(world, told(job))
    assert "odd" not in known(world, job)


def test_nothing_is_told_of_an_attempt_that_was_not_begun(world: World) -> None:
    job = running(world)
    with pytest.raises(BadMessage, match="attempt 7 of task 'idle'"):
        report(world, told(job, attempt=7))
    assert "odd" not in known(world, job)
    report(world, told(job))
    assert "odd" in known(world, job)


def test_last_reports_arrive_until_their_party_has_heard_of_the_end_and_none_after(world: World) -> None:
    def unheard(_frm: str, to: str, method: str) -> None:
        if (to, method) == ("b", Method.END):
            raise PeerUnreachable("The gateway of b does not answer.")

    job = running(world)
    world.hub.before = unheard
    world.a.stop(job, SCIENTIST)
    world.wait(job, "cancelled")
    [order] = world["b"].cluster.orders
    world["b"].cluster.tell(order, EventKind.METRIC, name="last", step=0, value=1.0)
    world.until(lambda _: "last" in known(world, job), job)
    world.hub.before = lambda *_: None
    world.wait_closed(job)
    with pytest.raises(JobNotRunning, match="has ended"):
        report(world, told(job))
    assert "odd" not in known(world, job)


def test_a_report_that_comes_too_late_is_not_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_frm: str, _to: str, method: str) -> None:
        if method == Method.REPORT:
            raise JobNotRunning("The job has ended.")

    job = running(world)
    flow = world["b"].flow
    assert flow is not None
    world.hub.before = late
    [order] = world["b"].cluster.orders
    world["b"].cluster.tell(order, EventKind.METRIC, name="late", step=0, value=1.0)
    world.until(lambda _: bool(flow.metrics(job)), job, party="b")
    assert flow._sender.deliver(Delivery(job)) is None

    def refuses(*_: object) -> None:
        raise JobNotRunning("The job has ended.")

    leader = world.a._coordinator
    monkeypatch.setattr(leader.incoming.reports, "take", refuses)
    assert leader._probe(Probe(job, "b")) == Pauses().probe_s, "the next look finds that the job has ended"


@pytest.mark.parametrize("how", ["ended", "left"])
def test_of_own_executors_only_last_words_are_kept_once_the_job_is_over_here(world: World, how: str) -> None:
    job = running(world)
    b = world["b"]
    flow = b.flow
    assert flow is not None
    if how == "ended":
        world.a.stop(job, SCIENTIST)
        world.until(lambda view: view.closed, job, party="b")
    else:
        flow.stop(job, SCIENTIST)
    [order] = b.cluster.orders
    b.cluster.tell(order, EventKind.METRIC, name="odd", step=0, value=1.0)
    b.cluster.tell(order, EventKind.PROGRESS, done=1, total=2, what="odd")
    b.cluster.tell(order, EventKind.LOG, level="info", text="I was told to end.")
    world.until(lambda _: bool(flow.logs(job)), job, party="b")
    assert [line.text for line in flow.logs(job)] == ["I was told to end."]
    assert (flow.metrics(job), flow.progress(job)) == ([], [])
