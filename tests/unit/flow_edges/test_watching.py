"""A watched job shows each round on one line, however its values arrive."""

from __future__ import annotations

import pytest

from flow.cli.screen import Screen
from flow.cli.watching import Watcher
from flow.client import EventRow, MetricRow


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
