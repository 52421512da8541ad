"""Whoever causes lines cannot fill the log, and what was held back is counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import log
from runtime.limits.allowance import CAUSES, Allowance
from runtime.limits.log_lines import LineLimit


def test_an_allowance_lets_the_first_of_each_kind_pass_and_counts_the_rest() -> None:
    allowance: Allowance[str] = Allowance(2, 60)
    assert [allowance.may("alice", "a", t) for t in (0, 1, 2, 3)] == [True, True, False, False]
    assert allowance.may("alice", "b", 3)
    assert allowance.missed(59) == []
    assert allowance.missed(60) == [("alice", "a", 2)]
    assert allowance.missed(60) == []
    assert allowance.may("alice", "a", 61)


def test_a_kind_that_was_within_its_allowance_begins_anew_in_silence() -> None:
    allowance: Allowance[str] = Allowance(2, 60)
    assert all(allowance.may("alice", "a", t) for t in (0, 1, 61, 62, 200, 201))
    assert allowance.missed(1000) == []


def test_kinds_without_number_share_one_window_and_are_counted() -> None:
    allowance: Allowance[int] = Allowance(1, 60, kinds=3)
    assert [allowance.may("alice", n, 0) for n in range(6)] == [True, True, True, True, False, False]
    assert allowance.missed(60) == [("alice", None, 2)]
    assert allowance.may("alice", 4, 60)


def test_who_invents_kinds_or_causes_crowds_out_nobody_who_is_known() -> None:
    allowance: Allowance[int] = Allowance(1, 60)
    assert allowance.may("alice", 0, 0)
    let_pass = sum(allowance.may("mallory", n, 1) for n in range(10_000))
    let_pass += sum(allowance.may(f"invented-{n}", 0, 1) for n in range(10_000))
    assert let_pass <= 21 + CAUSES
    assert allowance.may("alice", 1, 2)
    assert sum(missed for _, _, missed in allowance.missed(100)) == 20_000 - let_pass


def test_a_count_is_told_when_its_own_minute_is_over_and_not_before() -> None:
    allowance: Allowance[str] = Allowance(1, 60)
    for kind, begun in (("early", 0), ("late", 50)):
        assert [allowance.may("alice", kind, begun + n) for n in (0, 1)] == [True, False]
    assert allowance.next_s(51) == 9
    assert allowance.missed(60) == [("alice", "early", 1)]
    assert allowance.next_s(60) == 50
    assert allowance.missed(109) == []
    assert allowance.missed(110) == [("alice", "late", 1)]
    assert allowance.next_s(110) is None


def test_what_was_held_back_late_waits_for_its_own_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    waits: list[tuple[float, Callable[[], None]]] = []

    class Timer:
        daemon = False

        def __init__(self, wait_s: float, tell: Callable[[], None]) -> None:
            waits.append((wait_s, tell))

        def start(self) -> None:
            pass

    monkeypatch.setattr("runtime.limits.log_lines.threading.Timer", Timer)
    monkeypatch.setattr("runtime.limits.log_lines.time.monotonic", lambda: now[0])
    told = []
    monkeypatch.setattr(logging.getLogger("archipelago.x"), "log", lambda *line, **_: told.append(line[2:]))
    limit = LineLimit(lines=1, period_s=60)
    for now[0], text in ((0.0, "early"), (1.0, "early"), (50.0, "late"), (51.0, "late")):
        limit.filter(logging.LogRecord("archipelago.x", logging.WARNING, "", 0, text, None, None))
    for now[0] in (60.0, 110.0):
        waits[-1][1]()
    assert [wait_s for wait_s, _ in waits] == [59, 50]
    assert told == [("1", "early"), ("1", "late")]


def test_a_flood_of_lines_becomes_twenty_and_one_that_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "log" / "x.log"
    log.configure("test", path)
    logger = log.get_logger("gateway")
    for n in range(1020):
        logger.warning("Refused an envelope", peer="mallory", code="x.y", reason=f"{n}" * 100)
        logging.getLogger("grpc._server").error("Exception %s", n)
        logger.info("A task has started", job=n)
    logger.warning("Refused an envelope", peer="alice", code="x.y")
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    mallory = [entry for entry in lines if entry.get("peer") == "mallory"]
    assert len(mallory) == 20
    assert [entry["peer"] for entry in lines if entry.get("peer") == "alice"] == ["alice"]
    assert sum(entry["event"] == "A task has started" for entry in lines) == 1020
    assert sum(entry["event"].startswith("Exception") for entry in lines) == 20
    counts = sorted(entry["event"] for entry in lines if entry["event"].startswith("…"))
    assert counts == ["… and 1,000 more: Exception %s", "… and 1,000 more: Refused an envelope mallory x.y"]


def test_text_of_others_cannot_move_the_cursor_of_who_reads_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log" / "x.log"
    log.configure("test", path)
    log.get_logger("gateway").warning("Refused", reason="a\x1b[2Jb\u202ec\nd")
    log.close()
    (entry,) = (json.loads(line) for line in path.read_text().splitlines())
    assert entry["reason"] == "a\ufffd[2Jb\ufffdc\nd"
