"""Event logs by an executor that means harm: bounded, named, passed over; what is true among them is still read."""

from __future__ import annotations

import json
import random

import pytest

from node_manager.allowance import BOUNDS, LogBounds
from node_manager.events import MAX_TEXT_CHARS, EventKind, checked, read_event, shortened
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.supervisor.tail import MAX_SEQUENCE, Position, has_more, read_new
from runtime.text import is_printable

KEY = ExecutorKey("JOB1", "task", 1, "guest:a", 1)
METRIC = {"name": "loss", "step": 0, "value": 0.5}


def line(sequence=1, kind="metric", body=METRIC, **changes) -> bytes:
    whole = {
        "schema": 1, "job": "JOB1", "task": "task", "attempt": 1, "address": "guest:a", "incarnation": 1,
        "sequence": sequence, "at_ms": 5, "kind": kind, "body": body,
    }  # fmt: skip
    return json.dumps({**whole, **changes}).encode() + b"\n"


def read_all(folder, bounds=BOUNDS):
    position, events = Position(), []
    while True:
        told, after = read_new(folder, KEY.folder, position, bounds)
        if after == position:
            return events, position
        events, position = events + [event for event, _ in told], after


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": -1}, {"sequence": 10**17}, {"sequence": 1.5}, {"at_ms": 10**17}, {"at_ms": -1},
        {"attempt": 77_777}, {"sequence": MAX_SEQUENCE + 1},
        {"incarnation": 0}, {"schema": 2}, {"kind": "lost", "body": {"cause": "host"}}, {"kind": "nothing"},
        {"body": {**METRIC, "step": 10**17}}, {"body": {**METRIC, "step": -1}}, {"body": {**METRIC, "step": "1"}},
        {"body": {**METRIC, "name": "x" * 1000}}, {"body": {**METRIC, "name": "\x1b[2J"}},
        {"body": {**METRIC, "name": ""}},
        {"body": {**METRIC, "value": "much"}}, {"body": {}}, {"body": []},
        {"kind": "progress", "body": {"done": 10**17, "total": 1, "what": ""}},
        {"kind": "progress", "body": {"done": -1, "total": 1, "what": ""}},
        {"kind": "checkpoint", "body": {"step": 10**30}},
        {"kind": "succeeded", "body": {"seconds": "nan", "peak_bytes": 1}},
        {"kind": "failed", "body": {"code": "x" * 500, "message": ""}},
        {"kind": "started", "body": {"pid": -4, "started_s": 0}},
    ],
)  # fmt: skip
def test_an_event_with_impossible_words_is_passed_over_and_the_next_is_read(tmp_path, changes):
    (tmp_path / EVENTS).write_bytes(line(**changes) + line(2))
    events, position = read_all(tmp_path)
    assert [event.sequence for event in events] == [2]
    assert position.own == 2


def test_text_is_cut_and_loses_its_controls(tmp_path):
    text = "\x1b]0;owned\x07 first\nsecond \u202eleft" + "x" * 50_000
    (tmp_path / EVENTS).write_bytes(
        line(1, "log", {"level": "info", "text": text})
        + line(2, "progress", {"done": 1, "total": 2, "what": "\x1b[2J"})
        + line(3, "failed", {"code": "a.b", "message": "\x9b31m" + "y" * 9000, "hint": "z"})
    )
    events, _ = read_all(tmp_path)
    shown = str(events[0].body["text"])
    assert len(shown) <= MAX_TEXT_CHARS
    assert "\n" in shown
    assert "characters left out" in shown
    for event in events:
        assert event == read_event(event.document())
        assert all(is_printable(part) for value in event.body.values() for part in str(value).split("\n"))


def test_which_parties_differ_is_passed_on_within_bounds(tmp_path):
    groups = [["a", "b"], ["c"]]
    told = {"code": "a.b", "message": "m", "hint": "", "alike": groups}
    (tmp_path / EVENTS).write_bytes(
        line(1, "failed", {**told, "alike": [["\x1b"]]})
        + line(2, "failed", {**told, "alike": [["a"]] * 101})
        + line(3, "failed", told)
    )
    events, _ = read_all(tmp_path)
    assert [event.body for event in events] == [told]


def test_a_cut_text_keeps_its_end():
    assert shortened("a" * 10_000 + "ZeroDivisionError: division by zero").endswith(
        "ZeroDivisionError: division by zero"
    )


def test_a_line_without_end_is_passed_over_and_the_next_is_read(tmp_path):
    with (tmp_path / EVENTS).open("wb") as file:
        for _ in range(40):
            file.write(b"{" * (1 << 16))
        file.write(b"\n" + line(1))
    events, _ = read_all(tmp_path)
    assert [event.sequence for event in events] == [1]


def test_of_a_log_that_is_too_large_the_last_word_is_still_read(tmp_path):
    bounds = LogBounds(log_bytes=1 << 14, turn_bytes=1 << 13, line_bytes=1 << 12)
    many = b"".join(line(n) for n in range(1, 2000))
    (tmp_path / EVENTS).write_bytes(many + line(2000, "succeeded", {"seconds": 1, "peak_bytes": 1}))
    events, position = read_all(tmp_path, bounds)
    assert len(events) < 200
    assert "left out" in str(events[-2].body["text"])
    assert events[-1].kind is EventKind.SUCCEEDED
    assert position.final


def texts(events) -> list[str]:
    return [str(event.body["text"]) for event in events if event.kind is EventKind.LOG]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("metric", METRIC),
        ("log", {"level": "info", "text": "t"}),
        ("started", {"pid": 1, "started_s": 0.0}),
        ("output", {"name": "n", "kind": "k", "reference": "r"}),
        ("checkpoint", {"step": 1}),
    ],
)
def test_of_each_kind_so_many_are_taken_the_rest_is_counted_and_other_kinds_go_on(tmp_path, kind, body):
    other, theirs = ("log", {"level": "info", "text": "o"}) if kind == "metric" else ("metric", METRIC)
    many = b"".join(line(n, kind, body) for n in range(1, 101))
    (tmp_path / EVENTS).write_bytes(many + line(101, other, theirs) + line(102, "succeeded", {}))
    events, position = read_all(tmp_path, LogBounds(events=30))
    said = [event for event in events if event.kind == kind and "left out" not in str(event.body)]
    assert [event.sequence for event in said] == list(range(1, 31))
    assert [event.kind for event in events[-3:]] == [other, EventKind.LOG, EventKind.SUCCEEDED]
    assert [text for text in texts(events) if "left out" in text] == [
        f"Too many events of kind '{kind}': from here on they are left out",
        f"… left out: 70 of kind '{kind}'; more than 30 of a kind or 8 MiB are not kept",
    ]
    assert position.spent[kind].left_out == 70
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})


def test_of_text_so_many_bytes_are_taken(tmp_path):
    (tmp_path / EVENTS).write_bytes(b"".join(line(n, "log", {"level": "", "text": "é" * 1000}) for n in range(1, 200)))
    events, position = read_all(tmp_path, LogBounds(event_bytes=100_000))
    assert sum(len(text.encode()) for text in texts(events) if "left out" not in text) == 100_000
    assert position.spent["log"].left_out == 149


def test_of_progress_the_last_of_a_turn_counts(tmp_path):
    many = b"".join(line(n, "progress", {"done": n, "total": 900, "what": "w"}) for n in range(1, 901))
    (tmp_path / EVENTS).write_bytes(many + line(901))
    events, position = read_all(tmp_path)
    told = [event for event in events if event.kind is EventKind.PROGRESS]
    assert len(told) <= 2
    assert told[-1].body["done"] == 900
    assert not position.spent["progress"].left_out


def test_nothing_is_taken_after_the_last_word(tmp_path):
    ends = b"".join(line(n, "succeeded", {}) + line(n + 1) for n in range(2, 200, 2))
    (tmp_path / EVENTS).write_bytes(line(1) + ends)
    events, _ = read_all(tmp_path)
    assert [event.kind for event in events] == [EventKind.METRIC, EventKind.SUCCEEDED]
    with (tmp_path / EVENTS).open("ab") as log:
        log.write(line(500))
    position = Position(offset=0, own=499, final=True)
    assert read_new(tmp_path, KEY.folder, position)[0] == []


def test_a_turn_reads_so_much_and_says_whether_there_is_more(tmp_path):
    (tmp_path / EVENTS).write_bytes(b"".join(line(n) for n in range(1, 5_001)) + b"torn")
    turns, position = 0, Position()
    while True:
        told, after = read_new(tmp_path, KEY.folder, position)
        assert after.offset - position.offset <= BOUNDS.turn_bytes
        if not has_more(tmp_path, position, after):
            break
        turns, position = turns + 1, after
    assert turns > 2
    assert (told, after.own) == ([], 5_000)


def test_no_garbage_stops_the_reading_of_what_is_true(tmp_path):
    fuzz(tmp_path, seed=7, rounds=300)


@pytest.mark.soak
def test_no_garbage_stops_the_reading_of_what_is_true_for_long(tmp_path):
    for seed in range(40):
        fuzz(tmp_path, seed, rounds=2000)


def fuzz(folder, seed, rounds):
    """Lines that are mutated, cut, doubled and joined, true ones between them."""
    rng = random.Random(seed)
    kinds = {"metric": METRIC, "log": {"level": "info", "text": "hé"}, "progress": {"done": 1, "total": 2, "what": "w"}}
    written, true = bytearray(), []
    for n in range(1, rounds + 1):
        kind, body = rng.choice(list(kinds.items()))
        bad = bytearray(line(n, kind, body))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(bad))
            choice = rng.random()
            if choice < 0.6:
                bad[at] = rng.randrange(256)
            elif choice < 0.8:
                del bad[at : at + rng.randint(1, 20)]
            else:
                bad[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 30)))
            if not bad:
                break
        written += bytes(bad).rstrip(b"\n") + b"\n"
        if n % 50 == 0:
            true.append((1 << 40) + n)
            written += line(true[-1])
    (folder / EVENTS).write_bytes(written)
    events, position = read_all(folder)
    assert position.offset == len(written)
    seen = [event.sequence for event in events]
    assert seen == sorted(set(seen))
    for event in events:
        assert checked(event.kind, event.body) == event.body
