"""Event logs as they are written and read."""

from __future__ import annotations

import math
import socket
import threading

from node_manager.events import EventKind, read_event
from node_manager.executor.event_log import EventLog, ring
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.supervisor.tail import Position, read_new
from runtime.disk import room
from tests.fakes.disks import fill, small_disk

KEY = ExecutorKey("JOB1", "task", 1, "guest:a", 1)


def read(folder, position=Position()):  # noqa: B008  frozen
    told, after = read_new(folder, KEY.folder, position)
    return [event for event, _ in told], after


def make_log(folder, bell="/nowhere"):
    return EventLog(folder, KEY, str(bell))


def test_what_is_written_is_read_once(tmp_path):
    log = make_log(tmp_path)
    log.metric("loss", 0, 0.5)
    log.progress(1, 2, "rounds")
    events, position = read(tmp_path, Position())
    kinds = [EventKind.METRIC, EventKind.PROGRESS, EventKind.LOG]
    assert [(e.kind, e.sequence) for e in events] == list(zip(kinds, (1, 2, 3), strict=True))
    assert read(tmp_path, position) == ([], position)
    log.log("info", "x" * 5000)
    log.close()
    events, position = read(tmp_path, position)
    assert len(events[0].body["text"]) == 4000
    assert not position.final


def test_a_number_that_json_does_not_have_comes_back(tmp_path):
    log = make_log(tmp_path)
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        log.metric("loss", step, value)
    events, _ = read(tmp_path, Position())
    assert [float(event.body["value"]) for event in events[1:]] == [math.inf, -math.inf]
    assert math.isnan(float(events[0].body["value"]))


def test_a_torn_line_is_left_until_it_is_whole(tmp_path):
    log = make_log(tmp_path)
    log.write(EventKind.SUCCEEDED)
    whole = (tmp_path / EVENTS).read_bytes()
    (tmp_path / EVENTS).write_bytes(whole[:-20])
    assert read(tmp_path, Position()) == ([], Position())
    (tmp_path / EVENTS).write_bytes(whole)
    events, position = read(tmp_path, Position())
    assert len(events) == 1
    assert position.final
    assert position.offset == len(whole)


def test_lines_that_are_no_event_of_this_executor_are_passed_over(tmp_path):
    log = make_log(tmp_path)
    log.metric("loss", 0, 0.5)
    mine = (tmp_path / EVENTS).read_text()
    strange = [
        mine,
        mine.replace('"sequence":1', '"sequence":2').replace("guest:a", "host:b"),
        mine.replace('"sequence":1', '"sequence":2').replace('"schema":1', '"schema":2'),
        "not json\n",
        mine,  # a repeated sequence
        mine.replace('"sequence":1', '"sequence":5'),
    ]
    (tmp_path / EVENTS).write_text("".join(strange))
    events, position = read(tmp_path, Position())
    assert [e.sequence for e in events] == [1, 5]
    assert position.own == 5
    assert position.offset == sum(map(len, strange))


def test_a_line_is_passed_on_as_it_was_written(tmp_path):
    log = make_log(tmp_path)
    log.log("info", "é\x1b")
    told, _ = read_new(tmp_path, KEY.folder, Position())
    assert told[0].document + b"\n" == (tmp_path / EVENTS).read_bytes()
    assert told[0].event.body["text"] == "é\N{REPLACEMENT CHARACTER}"
    assert read_event(told[0].document) == told[0].event


def test_a_log_that_is_not_there_has_no_events(tmp_path):
    assert read(tmp_path, Position()) == ([], Position())


def test_the_doorbell_says_which_folder_and_nobody_needs_to_hear_it(tmp_path):
    ring(str(tmp_path / "bell"), "JOB1/x")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.bind(str(tmp_path / "bell"))
        log = make_log(tmp_path, tmp_path / "bell")
        log.metric("loss", 0, 0.5)
        assert bell.recv(100).decode() == KEY.folder
        log.close()


def test_progress_says_a_line_at_every_tenth_of_the_way(tmp_path):
    log = make_log(tmp_path)
    for done in range(101):
        log.progress(done, 100, "rounds")
    texts = [e.body["text"] for e in read(tmp_path, Position())[0] if e.kind is EventKind.LOG]
    assert texts == [f"rounds: {done} of 100" for done in range(0, 101, 10)]


def test_progress_is_told_at_every_thousandth_of_the_way(tmp_path):
    log = make_log(tmp_path)
    for done in range(100_001):
        log.progress(done, 100_000, "batches")
    told = (tmp_path / EVENTS).read_text().count('"kind":"progress"')
    assert told == 1_001


def test_lines_for_which_there_is_no_room_wait_and_are_whole_and_in_order(tmp_path):
    with small_disk(tmp_path / "small") as folder:
        log = make_log(folder)
        filler = fill(folder)
        lines = [f"{i} {'x' * 3000}" for i in range(9)]
        writing = threading.Thread(target=lambda: [log.log("info", line, insist=True) for line in lines])
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        filler.unlink()
        writing.join(10)
        events, _ = read(folder)
        assert [event.body["text"].split()[0] for event in events] == [str(i) for i in range(9)]
        log.close()


def test_lines_wait_while_less_is_free_than_stays_free_but_not_last_words_nor_what_insists(tmp_path, monkeypatch):
    full, waits, goes_on = [True], threading.Event(), threading.Event()

    def sleep(_pause_s):
        waits.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(room, "lacks_room", lambda *_: full[0])
    monkeypatch.setattr(room.time, "sleep", sleep)
    log = make_log(tmp_path)
    writing = threading.Thread(target=log.metric, args=("loss", 0, 0.5))
    writing.start()
    assert waits.wait(60)
    log.log("warning", "No room left.", insist=True)
    log.write(EventKind.SUCCEEDED)
    assert [event.kind for event in read(tmp_path)[0]] == [EventKind.LOG, EventKind.SUCCEEDED]
    full[0] = False
    goes_on.set()
    writing.join(60)
    assert b'"kind":"metric"' in (tmp_path / EVENTS).read_bytes()
    log.close()
