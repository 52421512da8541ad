"""Whoever causes lines cannot fill the log, and what was held back is counted."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from party import log
from party.allowance import Allowance


def test_an_allowance_lets_the_first_of_each_kind_pass_and_counts_the_rest() -> None:
    allowance: Allowance[str] = Allowance(2, 60)
    assert [allowance.may("a", t) for t in (0, 1, 2, 3)] == [True, True, False, False]
    assert allowance.may("b", 3)
    assert allowance.missed(59) == []
    assert allowance.missed(60) == [("a", 2)]
    assert allowance.missed(60) == []
    assert allowance.may("a", 61)


def test_a_kind_that_was_within_its_allowance_begins_anew_in_silence() -> None:
    allowance: Allowance[str] = Allowance(2, 60)
    assert all(allowance.may("a", t) for t in (0, 1, 61, 62, 200, 201))
    assert allowance.missed(1000) == []


def test_kinds_without_number_share_what_is_left() -> None:
    allowance: Allowance[int] = Allowance(1, 60, kinds=3)
    assert [allowance.may(n, 0) for n in range(5)] == [True, True, True, False, False]
    assert allowance.may(4, 60)


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
