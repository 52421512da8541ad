"""Following the event logs of a node."""

from __future__ import annotations

import json
import os
import threading

import pytest

from node_manager.allowance import LogBounds
from node_manager.events import EventKind, read_event
from node_manager.executor.event_log import EventLog
from node_manager.folders import END, EVENTS, ExecutorKey, write_json
from node_manager.supervisor.follow import KEEP_S, EventLogs


def key(job="JOB1", task="t"):
    return ExecutorKey(job, task, 1, "guest:a", 1)


LOST = {
    "schema": 1, "job": "JOB1", "task": "t", "attempt": 1, "address": "guest:a", "incarnation": 1, "sequence": 1,
    "at_ms": 5, "kind": "lost", "body": {"cause": "signal", "text": "Killed.", "signal": 9},
}  # fmt: skip


@pytest.fixture
def logs(tmp_path):
    return EventLogs(tmp_path / "executors", tmp_path / "ended")


@pytest.fixture
def folder(tmp_path):
    return lambda of: tmp_path / "executors" / of.folder


@pytest.fixture
def log_of(folder):
    def make(of, *steps):
        folder(of).mkdir(parents=True, exist_ok=True)
        log = EventLog(folder(of), of, "/nowhere")
        for step in steps:
            log.metric("loss", step, 0.5)
        return log

    return make


def taken(follower, wait_s=0.0):
    events = [read_event(document) for document in follower.documents(wait_s)]
    return [(event.log, event.sequence) for event in events]


def test_each_log_is_told_once_from_where_the_follower_was(logs, log_of):
    one, other = key(), key("JOB2")
    log_of(one, 1, 2, 3)
    log_of(other, 1)
    with logs.follower({one.folder: 2}) as follower:
        assert sorted(taken(follower)) == [(one.folder, 3), (other.folder, 1)]
        assert taken(follower) == []
        logs.rung(one.folder, other.folder, "JOB3/never-1-guest-a-i1")
        assert taken(follower) == []


def test_what_a_node_adds_comes_after_all_that_a_log_holds_and_only_without_a_last_word(logs, log_of, folder):
    silent, done = key(), key(task="done")
    log_of(silent, 1, 2)
    log_of(done, 1).write(EventKind.SUCCEEDED, seconds=1.0, peak_bytes=1)
    for each in (silent, done):
        write_json(folder(each) / END, {"schema": 1, "events": [{**LOST, "task": each.task}]})
    with logs.follower({}) as follower:
        found = [read_event(document) for document in follower.documents(0)]
        assert taken(follower) == []
    told = {each: [(e.sequence, e.kind) for e in found if e.log == each.folder] for each in (silent, done)}
    assert told[silent] == [(1, EventKind.METRIC), (2, EventKind.METRIC), (3, EventKind.LOST)]
    assert told[done] == [(1, EventKind.METRIC), (2, EventKind.SUCCEEDED)]
    with logs.follower({silent.folder: 2, done.folder: 2}) as again:
        assert taken(again) == [(silent.folder, 3)]


def test_an_end_that_is_torn_is_none_yet(logs, log_of, folder):
    log_of(key(), 1)
    (folder(key()) / END).write_text('{"schema": 1')
    with logs.follower({}) as follower:
        assert taken(follower) == [(key().folder, 1)]
        write_json(folder(key()) / END, {"schema": 1, "events": [LOST]})
        logs.rung(key().folder)
        assert taken(follower) == [(key().folder, 2)]


def test_each_log_has_its_turn_and_what_is_more_waits(tmp_path, log_of):
    loud, quiet = key("LOUD"), key("QUIET")
    log_of(loud, *range(200))
    log_of(quiet, *range(3))
    logs = EventLogs(tmp_path / "executors", tmp_path / "ended", LogBounds(turn_bytes=4_000))
    with logs.follower({}) as follower:
        turns = []
        while turn := taken(follower):
            turns.append(turn)
        assert {name for name, _ in turns[0]} == {loud.folder, quiet.folder}
        assert [n for turn in turns for name, n in turn if name == loud.folder] == list(range(1, 201))
        assert len(turns) > 5


def test_a_log_that_cannot_be_read_stops_no_other(logs, log_of, folder):
    log_of(key(), 1)
    folder(key("BAD")).mkdir(parents=True)
    (folder(key("BAD")) / EVENTS).mkdir()
    with logs.follower({}) as follower:
        assert taken(follower) == [(key().folder, 1)]


def test_a_waiting_follower_is_woken_by_events_and_by_the_end(logs, log_of):
    log = log_of(key())
    heard = []
    with logs.follower({}) as follower:
        assert taken(follower) == []
        reader = threading.Thread(target=lambda: heard.append(taken(follower, 60)))
        reader.start()
        log.metric("loss", 1, 0.5)
        logs.rung(key().folder)
        reader.join(30)
        assert heard == [[(key().folder, 1)]]
        reader = threading.Thread(target=lambda: heard.append(taken(follower, 60)))
        reader.start()
        logs.wake()
        reader.join(30)
        assert heard[1] == []


def test_the_logs_of_a_job_outlive_it_for_a_while(logs, log_of, folder, tmp_path):
    log_of(key(), 1)
    write_json(folder(key()) / END, {"schema": 1, "events": [LOST]})
    (folder(key()) / "order.json").write_text(json.dumps({"seed": "secret"}))
    with logs.follower({}) as behind:
        logs.keep("JOB1")
        assert not folder(key()).exists()
        assert {path.name for path in (tmp_path / "ended" / key().folder).iterdir()} == {EVENTS, END}
        assert taken(behind) == [(key().folder, 1), (key().folder, 2)]
    with logs.follower({}) as later:
        assert taken(later) == [(key().folder, 1), (key().folder, 2)]
    kept = tmp_path / "ended" / key().folder
    logs.forget_old()
    assert kept.exists()
    long_ago = kept.stat().st_mtime - KEEP_S - 1
    os.utime(kept, (long_ago, long_ago))
    logs.forget_old()
    assert not list((tmp_path / "ended").iterdir())
    with logs.follower({}) as too_late:
        assert taken(too_late) == []


@pytest.mark.parametrize("job_is_over", [True, False])
def test_a_log_that_is_recorded_to_its_end_does_not_outlive_its_job(logs, log_of, folder, tmp_path, job_is_over):
    recorded, other = key(), key(task="other")
    for each in (recorded, other):
        log_of(each, 1)
    steps = [lambda: logs.keep("JOB1"), lambda: logs.acknowledge([recorded.folder, "JOB1/never-1-guest-a-i1"])]
    for step in steps if job_is_over else reversed(steps):
        step()
    assert not list((tmp_path / "executors" / "JOB1").iterdir())
    assert [path.name for path in (tmp_path / "ended" / "JOB1").iterdir()] == [folder(other).name]
    logs.acknowledge([other.folder])
    assert not list((tmp_path / "ended").iterdir())


def test_who_asks_from_the_last_event_on_has_recorded_the_log(logs, log_of, tmp_path):
    log_of(key(), 1).write(EventKind.SUCCEEDED, seconds=1.0, peak_bytes=1)
    logs.keep("JOB1")
    with logs.follower({key().folder: 1}) as behind:
        assert taken(behind) == [(key().folder, 2)]
    with logs.follower({key().folder: 2}) as done:
        assert taken(done) == []
    assert not list((tmp_path / "ended").iterdir())
