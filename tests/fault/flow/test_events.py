"""Whatever restarts between an executor's event log and the store: every event is recorded, and once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_manager.client import EventKind
from tests.fakes.event_floors import Floors


@pytest.fixture
def floors(tmp_path: Path) -> Iterator[Floors]:
    made = Floors(tmp_path)
    yield made
    made.close()


def test_every_number_and_line_is_recorded_once_while_each_room_is_restarted(floors: Floors) -> None:
    executor = floors.log()
    enough = threading.Event()
    told = []

    def tell() -> None:
        while not enough.wait(0.002):
            executor.metric("loss", len(told), 0.5)
            executor.log("info", f"step {len(told)}", insist=True)
            told.append(len(told))

    work = threading.Thread(target=tell)
    work.start()
    for restart in (floors.restart_cluster, floors.restart_node, floors.restart_flow) * 2:
        seen = len(floors.flow.metrics(floors.job))
        floors.world.until(lambda _view, seen=seen: len(floors.flow.metrics(floors.job)) > seen + 5, floors.job)
        restart()
    enough.set()
    work.join()
    floors.world.until(lambda _view: len(floors.flow.metrics(floors.job)) >= len(told), floors.job)
    floors.world.until(lambda _view: len(floors.flow.logs(floors.job)) >= len(told), floors.job)
    assert [row.step for row in floors.flow.metrics(floors.job)] == told
    assert [row.text for row in floors.flow.logs(floors.job)] == [f"step {n}" for n in told]
    events = floors.flow.events(floors.job, limit=100_000, with_metrics=True)
    assert [row.step for event in events for row in event.metrics] == told
    executor.close()


def test_what_was_told_while_nobody_listened_is_recorded_later(floors: Floors) -> None:
    executor = floors.log()
    floors.cluster.stop(1)
    floors.world["a"].down()
    for step in range(50):
        executor.metric("loss", step, 0.5)
    floors.node.close()
    executor.write(EventKind.SUCCEEDED, seconds=1.0, peak_bytes=1)
    executor.close()
    floors.world["a"].up()
    floors.node = type(floors.node)(floors.folder)
    floors.start_cluster()
    floors.world.until(lambda _view: len(floors.flow.metrics(floors.job)) == 50, floors.job)
