"""Executors that tell without end: what is kept of one is bounded, and no other has to wait for it."""

from __future__ import annotations

from collections import Counter

import pytest

from node_manager.allowance import LogBounds
from node_manager.client import MOST_EVENTS, EventKind
from node_manager.server import NodeService
from tests.fakes.nodes import Reader, make_config


def kept(reader, order) -> list:
    return [event for event in reader.events if event.job == order.job]


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


def test_of_an_executor_that_writes_past_its_own_limits_so_much_is_kept(tmp_path, order_of):
    node = NodeService(make_config(tmp_path, log_bounds=LogBounds(events=300)))
    node.start()
    reader = Reader(tmp_path / "node.sock")
    flooded(reader.client, reader, order_of, count=2_000, most=300)
    reader.close()
    node.stop(5)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_of_sixty_thousand_lines_and_as_many_numbers_so_much_is_kept(client, reader, order_of):
    loud, quiet = order_of("flood", count=60_000), order_of()
    client.start(loud)
    client.start(quiet)
    assert reader.final(quiet, 600).kind is EventKind.SUCCEEDED
    assert reader.final(loud, 1200).kind is EventKind.SUCCEEDED
    assert len(kept(reader, loud)) < MOST_EVENTS
    assert sum(len(event.model_dump_json()) for event in kept(reader, loud)) < 32 << 20


def test_one_that_tells_without_end_is_stopped_all_the_same(client, reader, order_of):
    loud = order_of("flood", count=2_000, where="/nowhere/at/all")
    client.start(loud)
    reader.of(loud, EventKind.STARTED)
    assert client.stop(loud.job) == 1
    assert reader.final(loud).body["cause"] == "stopped"
