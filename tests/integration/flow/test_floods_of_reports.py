"""Parties that tell without end, what they said they would not, or of jobs that are none of their business."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from flow.coordinator import reports
from flow.job.states import AttemptState, JobState
from flow.protocol.messages import (
    Ack,
    AttemptOrder,
    Decision,
    EndOrder,
    History,
    HistoryOrder,
    JobOrder,
    LogReport,
    Manifest,
    Message,
    Method,
    MetricReport,
    PauseOrder,
    ProgressReport,
    Published,
    Report,
    Reserved,
    ReserveOrder,
    SideReport,
    SignedAnswer,
    StopOrder,
    Withdrawal,
)
from flow.rooms.peer_calls import PeerCalls
from flow.views.stalls import Fact
from party.ids import new_job_id
from runtime.errors import PlatformError
from tests.fakes.flow_world import SCIENTIST, World, hangs, nothing_job

PLACE = {"task": "idle", "attempt": 1, "address": "host:b", "at_ms": 1}
MOST = 40


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, "a", "b", "c", "d")
    for party in made.parties.values():
        party.cluster.script = hangs
    made["b"].policy = made["b"].policy.model_copy(update={"share": ("metrics", "logs")})
    made.up()
    yield made
    made.down()


def running(world: World) -> str:
    job = world.submit(nothing_job())
    world.until(lambda v: v.tasks and v.tasks[0].attempts and all(
        side.state == "running" for side in v.tasks[0].attempts[-1].sides
    ), job)  # fmt: skip
    return job


def report(world: World, message: Report, party: str = "b") -> None:
    flow = world[party].flow
    assert flow is not None
    PeerCalls(world[party].gateway, flow._database).ask("a", Method.REPORT, message, Ack, 1)


def metrics(job: str, start: int, count: int, address: str = "host:b") -> Report:
    place = {**PLACE, "address": address}
    return Report(
        job=job, metrics=tuple(MetricReport(**place, name="m", step=start + i, value=1.0) for i in range(count))
    )


def lines(job: str, start: int, count: int, text: str = "x") -> Report:
    line = {**PLACE, "incarnation": 1, "level": "info", "text": text}
    return Report(job=job, logs=tuple(LogReport(**line, sequence=start + i) for i in range(count)))


def left_out(world: World, job: str) -> list[tuple[str, object]]:
    return [(e.party, e.body["why"]) for e in world.a.events(job) if e.kind == "report.left_out"]


def test_of_a_side_and_attempt_so_many_numbers_and_lines_are_kept_and_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_EVENTS", MOST)
    job = running(world)
    own_lines = len(world.a.logs(job))
    for start in range(0, 300, 30):
        report(world, metrics(job, start, 30))
        report(world, lines(job, 1_000 + start, 30))
    assert [row.step for row in world.a.metrics(job)] == list(range(MOST))
    assert len(world.a.logs(job)) - own_lines == MOST
    assert left_out(world, job) == [("b", reports.TOO_MUCH)], "said once, of lines and numbers together"
    report(world, metrics(job, 0, 5, "arbiter:c"), "c")
    assert len(world.a.metrics(job)) == MOST + 5
    before = len(world.a.events(job))
    for _ in range(20):
        report(world, metrics(job, 0, 30))
    told = [event for event in world.a.events(job)[before:] if event.kind == "metrics.recorded"]
    assert told == [], "what was told before is no news"


def test_of_the_lines_of_a_side_and_attempt_so_many_bytes_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_BYTES", 100_000)
    job = running(world)
    for start in range(0, 40, 4):
        report(world, lines(job, 1_000 + start, 4, "é" * 5_000))
    assert sum(len(line.text.encode()) for line in world.a.logs(job) if "é" in line.text) == 100_000
    assert left_out(world, job) == [("b", reports.TOO_MUCH)]


def test_of_progress_the_last_word_is_kept_and_so_many_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_EVENTS", MOST)
    job = running(world)
    for done in range(2 * MOST):
        report(world, Report(job=job, progress=(ProgressReport(**PLACE, done=done, total=100, what="w"),) * 3))
    told = [event for event in world.a.events(job) if event.kind == "progress.recorded"]
    assert len(told) == MOST
    assert [row.done for row in world.a.progress(job)] == [MOST - 1]


def test_what_a_signed_answer_does_not_share_is_dropped(world: World) -> None:
    job = running(world)
    own_lines = len(world.a.logs(job))
    line = {**PLACE, "address": "arbiter:c", "incarnation": 1, "sequence": 900, "level": "info", "text": "odd"}
    for _ in range(3):  # c shares numbers alone
        report(world, Report(job=job, logs=(LogReport(**line),), metrics=metrics(job, 0, 1, "arbiter:c").metrics), "c")
    assert len(world.a.logs(job)) == own_lines
    assert len(world.a.metrics(job)) == 1
    assert left_out(world, job) == [("c", reports.NOT_SHARED)]


def test_the_same_side_many_times_in_a_report_is_one_move(world: World) -> None:
    job = running(world)
    side = {"task": "idle", "attempt": 1, "address": "host:b"}
    news = SideReport(**side, state=AttemptState.RUNNING), SideReport(**side, state=AttemptState.SUCCEEDED)
    report(world, Report(job=job, sides=news * 1_000))
    view = world.until(
        lambda v: any(s.state == "succeeded" for s in v.tasks[0].attempts[-1].sides if s.address == "host:b"), job
    )
    assert view.state is JobState.RUNNING
    assert [e.kind for e in world.a.events(job) if e.party == "b"].count("side.succeeded") == 1


def test_a_party_that_asks_its_people_says_so_once(world: World) -> None:
    world["c"].policy = world["c"].policy.model_copy(update={"accept": Decision.ASK})
    job = world.submit(nothing_job())
    world.until(lambda view: any(waiting.who == "c" for waiting in view.waiting_for), job)
    flow = world["c"].flow
    assert flow is not None
    signed = SignedAnswer.model_validate_json(flow._database.rows(job).part.answer)
    for _ in range(5):
        PeerCalls(world["c"].gateway, flow._database).ask("a", Method.ANSWER, signed, Ack, 1)
    assert [e.kind for e in world.a.events(job) if e.party == "c"].count("party.ask") == 1


def test_a_job_is_stopped_in_the_middle_of_a_flood_of_reports(world: World) -> None:
    job = running(world)
    stopped, many = Event(), Event()

    def flood(number: int) -> None:
        sent = 0
        while not stopped.is_set():
            with suppress(PlatformError):  # the job is over
                report(world, metrics(job, (number + sent) * 500, 500))
                report(world, lines(job, (number + sent) * 20, 20, "x" * 50_000))
            sent += 1
            if sent == 3:
                many.set()

    threads = [Thread(target=flood, args=(n * 1_000_000,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert many.wait(120)
        world.a.stop(job, SCIENTIST)
        world.wait(job, "cancelled")
    finally:
        stopped.set()
    for thread in threads:
        thread.join(60)


def test_a_party_that_tells_ever_other_stalls_is_heard_and_writes_only_so_many_events(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow.rooms.stalls.MOST_EVENTS", 10)
    job = running(world)
    for turn in range(30):
        report(world, Report(job=job, facts=(Fact(code=f"odd-{turn}"),)))
    told = [event for event in world.a.events(job) if event.kind == "party.stalled" and event.party == "b"]
    assert len(told) == 10
    assert any(waiting.what == "odd-29" for waiting in world.a.job(job).waiting_for)


def outsiders(job: str, manifest: Manifest) -> list[tuple[Method, Message, type[Message]]]:
    """Each call that names a job, as one who is not in it would make it."""
    tried = {"job": job, "task": "idle", "attempt": 1}
    proposal = manifest.proposal.model_copy(update={"job": job})
    answer = manifest.answers[0].answer.model_copy(update={"job": job, "party": "d"})
    return [
        (Method.OPEN, manifest.model_copy(update={"proposal": proposal}), Ack),
        (Method.RESERVE, ReserveOrder(**tried, lease_s=1), Reserved),
        (Method.GIVE_BACK, AttemptOrder(**tried), Ack),
        (Method.START, AttemptOrder(**tried), Ack),
        (Method.STOP, StopOrder(**tried, state=AttemptState.FAILED), Ack),
        (Method.PUBLISH, AttemptOrder(**tried), Published),
        (Method.END, EndOrder(job=job, state=JobState.FAILED), Ack),
        (Method.PROBE, JobOrder(job=job), Report),
        (Method.ANSWER, SignedAnswer(answer=answer, signature="00"), Ack),
        (Method.REPORT, Report(job=job), Ack),
        (Method.WITHDRAW, Withdrawal(job=job, reason="no"), Ack),
        (Method.LEFT, Withdrawal(job=job, reason="no"), Ack),
        (Method.PAUSE, PauseOrder(job=job, paused=True), Ack),
        (Method.HISTORY, HistoryOrder(job=job), History),
    ]


def refusals(world: World, to: str, job: str, manifest: Manifest) -> dict[Method, tuple[str, str, str]]:
    flow = world["d"].flow
    assert flow is not None
    caller, found = PeerCalls(world["d"].gateway, flow._database), {}
    for method, order, reply in outsiders(job, manifest):
        with pytest.raises(PlatformError) as refusal:
            caller.ask(to, method, order, reply, 1)
        error = refusal.value
        found[method] = (error.code, error.message.replace(job, "JOB"), error.hint.replace(job, "JOB"))
    return found


def test_an_outsider_is_refused_alike_whether_there_is_a_job_or_not(world: World) -> None:
    job = running(world)
    flow = world["b"].flow
    assert flow is not None
    manifest = flow._proposals._catalogue.manifest(flow._database.rows(job))
    said = refusals(world, "a", str(new_job_id()), manifest)
    assert set(said) == set(Method) - {Method.PROPOSE, Method.CONSIDER}, "each call that names a job of others"
    heard = list(world.hub.calls)
    for over in (False, True):
        if over:
            world.a.stop(job, SCIENTIST)
            world.wait_closed(job)
        for to in ("a", "b"):
            unknown = refusals(world, to, str(new_job_id()), manifest)
            assert refusals(world, to, job, manifest) == unknown
    assert heard
    assert world.a.job(job).state is JobState.CANCELLED
