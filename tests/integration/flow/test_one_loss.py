"""What one loss costs on its way from an executor to a page: counted where it is written and where it is encoded."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flow.views.jobs import EventRow
from node_manager.client import NodeStatus
from tests.fakes.event_floors import Floors
from tests.fakes.flow_party import fake_party


class Counts:
    """Durable writes (to files, by committed transactions) and encodings as JSON, while `counting`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: list[str] = []
        self.encodings: list[str] = []
        self._on = False
        self._patch(monkeypatch)

    @contextmanager
    def counting(self) -> Iterator[None]:
        self._on = True
        yield
        self._on = False

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect, write, dumps, dump = sqlite3.connect, os.write, json.dumps, BaseModel.model_dump_json

        def connected(*args: Any, **more: Any) -> sqlite3.Connection:
            made = connect(*args, **more)
            written: list[str] = []
            made.set_trace_callback(lambda statement: self._ran(statement, written))
            return made

        def written(handle: int, data: bytes) -> int:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                self._note(self.writes, bytes(data).decode())
            return write(handle, data)

        def dumped(thing: Any, **more: Any) -> str:
            return self._note(self.encodings, dumps(thing, **more))

        def model_dumped(model: BaseModel, **more: Any) -> str:
            text = dump(model, **more)
            return text if isinstance(model, NodeStatus) else self._note(self.encodings, text)

        monkeypatch.setattr(sqlite3, "connect", connected)
        monkeypatch.setattr(sqlite3.dbapi2, "connect", connected)
        monkeypatch.setattr(os, "write", written)
        monkeypatch.setattr(json, "dumps", dumped)
        monkeypatch.setattr(BaseModel, "model_dump_json", model_dumped)

    def _ran(self, statement: str, written: list[str]) -> None:
        """A transaction counts once it is committed, if it wrote anything; so does a statement outside of one."""
        verb = statement.split(maxsplit=1)[0].upper()
        if verb == "BEGIN":
            written[:] = [""]
        elif verb in ("INSERT", "UPDATE", "DELETE", "REPLACE"):
            written.append(statement) if written else self._note(self.writes, statement)
        elif verb in ("COMMIT", "ROLLBACK"):
            if verb == "COMMIT" and len(written) > 1:
                self._note(self.writes, "; ".join(written))
            written.clear()

    def _note(self, where: list[str], text: str) -> str:
        if self._on:
            where.append(text)
        return text


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


@pytest.fixture
def floors(counts: Counts, tmp_path: Path) -> Iterator[Floors]:
    made = Floors(tmp_path)
    yield made
    made.close()


def test_a_loss_is_written_twice_and_encoded_three_times_on_its_way_to_a_page(
    floors: Floors, counts: Counts, tmp_path: Path
) -> None:
    log = floors.log()
    with fake_party(tmp_path, service=floors.flow) as party:
        newest = floors.flow.job(floors.job).last_event
        page = party.client.events(floors.job, since=newest)
        log.metric("loss", 0, 0.75)
        assert _loss(page).value == 0.75  # the stream is open now, and nothing else is on its way
        with counts.counting():
            log.metric("loss", 1, 0.25)
            assert _loss(page).value == 0.25
        page.close()
    assert ["0.25" in text for text in counts.writes] == [True, True], counts.writes
    assert ["0.25" in text for text in counts.encodings] == [True, False, True], "the log's line, ids, the page's"
    log.close()


def _loss(page: Iterator[EventRow]) -> Any:
    return next(event.metrics[-1] for event in page if event.metrics)
