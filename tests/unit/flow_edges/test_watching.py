"""A watched job shows each round on one line, however its values arrive."""

from __future__ import annotations

import json

import pytest

from flow.cli.job.watching import Watcher
from flow.cli.screen import Screen
from flow.client import EventRow, JobState, JobView, MetricRow, Waiting


def metric(step: int, name: str, value: float = 0.5, *, task: str = "train", party: str = "a") -> MetricRow:
    return MetricRow(
        id=step, task=task, attempt=1, party=party, role="guest", name=name, step=step, value=value, at_ms=1
    )


def event(kind: str, task: str = "train") -> EventRow:
    return EventRow(id=1, hlc="1.0", kind=kind, job="01J", task=task, attempt=1, party="a")


def test_a_round_whose_values_come_apart_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(Screen())
    watcher.show([metric(1, "loss")])
    watcher.show(event("metrics.recorded"))
    watcher.show([metric(1, "accuracy"), metric(1, "loss", party="b")])
    assert capsys.readouterr().out == ""
    watcher.show([metric(2, "loss")])
    assert capsys.readouterr().out == "train: round 1  loss 0.5000  accuracy 0.5000\n"
    watcher.show([metric(2, "accuracy")])  # as many as in the round before: nothing more is waited for
    assert capsys.readouterr().out == "train: round 2  loss 0.5000  accuracy 0.5000\n"


def test_the_last_round_is_shown_before_what_comes_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(Screen())
    watcher.show([metric(1, "loss")])
    watcher.show(event("task.published"))
    assert capsys.readouterr().out == "train: round 1  loss 0.5000\ntrain: succeeded\n"


def test_what_is_measured_once_has_no_round(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(Screen())
    watcher.show([metric(0, "auc", task="evaluate"), metric(0, "accuracy", task="evaluate")])
    watcher.show(event("task.published", "evaluate"))
    assert capsys.readouterr().out.splitlines()[0] == "evaluate:  auc 0.5000  accuracy 0.5000"


def test_for_whose_decision_a_job_waits_is_one_line_with_what_to_type_if_it_is_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = Waiting(who="b", what="person", text="a person at b to approve the job", since_ms=1)
    ours = Waiting(who="a", what="person", text="a person at a to approve the job", since_ms=1, do="type this")
    watcher = Watcher(Screen())
    watcher.show([theirs])
    watcher.show([theirs, ours])
    assert capsys.readouterr().out.splitlines() == [
        "waits for a person at b to approve the job",
        "waits for a person at a to approve the job: type this",
    ]
    Watcher(Screen(as_json=True)).show([ours])
    assert json.loads(capsys.readouterr().out) == {"kind": "waiting", "waiting": ours.model_dump()}


def test_a_job_that_waits_for_a_person_already_says_so_first(capsys: pytest.CaptureFixture[str]) -> None:
    waits = (
        Waiting(who="b", what="person", text="a person at b to approve the job", since_ms=1),
        Waiting(who="c", what="party", text="c, which is absent: no route", since_ms=1),
    )
    job = JobView(
        id="01J", name="breast", initiator="a", user="ann", state=JobState.WAITING, submitted_ms=1, spec={},
        waiting_for=waits,
    )  # fmt: skip
    Watcher(Screen()).show(job)
    assert capsys.readouterr().out.splitlines() == ["01J  breast", "waits for a person at b to approve the job"]


def test_an_executor_that_starts_again_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"address": "host:b", "text": "executor killed (signal 9), starts again as incarnation 2"}
    Watcher(Screen()).show(event("executor.restarted").model_copy(update={"body": body}))
    assert capsys.readouterr().out == "train: host:b: executor killed (signal 9), starts again as incarnation 2\n"


def test_what_executors_wait_for_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = Waiting(who="b", what="executor-stopped", text="host:b, which is stopped by a signal", since_ms=1)
    watcher = Watcher(Screen())
    watcher.show([stopped])
    watcher.show(event("party.goes_on").model_copy(update={"party": "b"}))
    assert capsys.readouterr().out == "waits for host:b, which is stopped by a signal\nb goes on\n"
