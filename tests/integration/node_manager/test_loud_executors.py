"""Executors that tell without end: what is kept of one is bounded, and no other has to wait for it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from node_manager import allowance, keeper, tail
from node_manager.client import EventKind
from node_manager.folders import EVENTS, ExecutorKey
from node_manager.keeper import MOST_UNREAD, Keeper
from node_manager.news import NewsStore
from node_manager.order import Resources
from node_manager.roster import Roster, Running
from tests.fakes.nodes import make_config


def kept(reader, order) -> list:
    return [event for _, event in reader.events if event.job == order.job]


def flooded(client, reader, order_of, count: int, most: int) -> None:
    loud, quiet = order_of("flood", count=count), order_of()
    client.start(loud)
    client.start(quiet)
    assert reader.final(quiet).kind is EventKind.SUCCEEDED
    assert reader.final(loud).kind is EventKind.SUCCEEDED
    counts = Counter(event.kind for event in kept(reader, loud))
    assert counts[EventKind.METRIC] == most
    assert most < counts[EventKind.LOG] <= most + 5
    assert sum(len(event.model_dump_json()) for event in kept(reader, loud)) < 2 * most * 2_500
    texts = [str(event.body["text"]) for event in kept(reader, loud) if event.kind is EventKind.LOG]
    assert f"{count - most} of kind 'metric'" in texts[-1]


def test_of_an_executor_that_writes_past_its_own_limits_so_much_is_kept(client, reader, order_of, monkeypatch):
    monkeypatch.setattr(allowance, "MOST_EVENTS", 300)
    flooded(client, reader, order_of, count=2_000, most=300)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_of_sixty_thousand_lines_and_as_many_numbers_so_much_is_kept(client, reader, order_of):
    loud, quiet = order_of("flood", count=60_000), order_of()
    client.start(loud)
    client.start(quiet)
    assert reader.final(quiet, 600).kind is EventKind.SUCCEEDED
    assert reader.final(loud, 1200).kind is EventKind.SUCCEEDED
    assert len(kept(reader, loud)) < allowance.MOST_EVENTS
    assert sum(len(event.model_dump_json()) for event in kept(reader, loud)) < 32 << 20


def test_one_that_is_stopped_is_over_before_all_that_it_told_was_read(client, reader, order_of, monkeypatch):
    monkeypatch.setattr(keeper, "MOST_UNREAD", -1)  # as with a reader that never catches up
    loud = order_of("flood", count=2_000, where="/nowhere/at/all")
    client.start(loud)
    reader.of(loud, EventKind.STARTED)
    assert client.stop(loud.job) == 1
    assert reader.final(loud).body["cause"] == "stopped"


@pytest.fixture
def watching(tmp_path):
    """A keeper that is not started: the test gives it its turns."""
    config = make_config(tmp_path)
    news, roster = NewsStore(tmp_path / "news.sqlite"), Roster(0)
    idle = Keeper(config, news, roster)
    yield idle, news, roster
    idle._on_closed()
    news.close()


def told(roster, folder, job: str, count: int) -> Running:
    key = ExecutorKey(job, "task", 1, "guest:a", 1)
    running = roster.add(Running(key, folder / key.folder, Resources()))
    running.folder.mkdir(parents=True)
    who = {"schema": 1, "job": job, "task": "task", "attempt": 1, "address": "guest:a", "incarnation": 1, "at_ms": 1}
    body = {"name": "loss", "step": 1, "value": 0.5}
    lines = [json.dumps({**who, "sequence": n, "kind": "metric", "body": body}) for n in range(1, count + 1)]
    (running.folder / EVENTS).write_text("\n".join(lines) + "\n")
    return running


def test_each_is_read_in_its_turn_and_who_is_behind_waits_for_the_readers(watching, tmp_path):
    idle, news, roster = watching
    loud, quiet = told(roster, tmp_path, "LOUD", 10_000), told(roster, tmp_path, "QUIET", 3)

    def read(running) -> int:
        return news.place(running.key.folder).own

    idle._tick()
    one_turn = read(loud)
    assert 0 < one_turn < 10_000
    assert read(quiet) == 3, "it did not wait for the other's end"
    with news.reader(0) as reader:
        assert news.unread() > MOST_UNREAD
        idle._tick()
        assert read(loud) == one_turn, "what was told is to be taken first"
        while news.unread():
            assert list(reader.after(0))
        idle._tick()
        assert one_turn < read(loud) <= 2 * one_turn + 1
    while loud.behind:
        idle._tick()
    assert read(loud) == 10_000
    assert (tmp_path / loud.key.folder / EVENTS).stat().st_size < tail.MAX_LOG_BYTES
