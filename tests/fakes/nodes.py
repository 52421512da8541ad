"""Factories for tests around the Node Manager: configs, orders, a reader of its events."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node_manager.client import EventKind, ExecutorEvent, NodeClient, NodeUnavailable, Order, Resources, parse_event
from node_manager.supervisor.config import NodeConfig
from tests.fakes.node_components import COMPONENT

JOB = "01J00000000000000000000001"
PRELOAD = ("tests.fakes.node_components",)
MAIN_STEPS = re.compile(r"play@1 (begins|ended)|(input|output) \w+: |\w+: \d+ of \d+$")
FINAL = {EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST}


def make_config(folder: Path, **changes) -> NodeConfig:
    """A Node Manager that lives in a folder."""
    given = {
        "name": "node-1",
        "state": folder,
        "socket": folder / "node.sock",
        "doorbell": folder / "bell.sock",
        "capacity": Resources(cores=4, memory_bytes=4 << 30),
        "preload": PRELOAD,
        "task_key": lambda job, task: f"{job}/{task}".encode().ljust(32, b"k"),
        "heartbeat_s": 0.5,
    }
    return NodeConfig(**{**given, **changes})


def make_order(do="nothing", *, where="", count=0, seconds=0.0, **changes) -> Order:
    """An order for the test component."""
    given = {
        "schema": 1,
        "job": JOB,
        "task": "task",
        "attempt": 1,
        "incarnation": 1,
        "address": "guest:a",
        "addresses": ("guest:a", "arbiter:c"),
        "component": "play@1",
        "code_digest": COMPONENT.code_digest,
        "parameters": {"do": do, "where": where, "count": count, "seconds": seconds},
        "inputs": {},
        "outputs": (),
        "resources": Resources(),
        "seed": "ab" * 32,
        "gateway": "/nowhere/gateway",
        "token": "secret-token",
        "store": "/nowhere/store",
    }
    return Order(**{**given, **changes})


class Reader:
    """Reads a Node Manager's events in the background, reconnecting, and lets a test wait for some of them."""

    def __init__(self, address) -> None:
        self.client = NodeClient(address)
        self.events: list[ExecutorEvent] = []
        self._since: dict[str, int] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closed:
            try:
                for document in self.client.events(self._since):
                    event = parse_event(document)
                    with self._changed:
                        self._since[event.log] = event.sequence
                        self.events.append(event)
                        self._changed.notify_all()
            except NodeUnavailable:
                time.sleep(0.02)
            except ValueError:  # the channel was closed by the test
                return

    def wait(self, check: Callable[[list[ExecutorEvent]], object], timeout_s=120):
        """What `check` returns of the events so far, once it is true."""
        with self._changed:
            ok = self._changed.wait_for(lambda: check(self.events), timeout_s)
            assert ok, self.events
            return check(self.events)

    def of(self, order: Order, kind: EventKind, timeout_s=120) -> ExecutorEvent:
        """The first event of a kind of the order's executor; of lines, the first that the component says itself."""

        def first(events):
            return next((e for e in events if e.kind is kind and _is(e, order) and not _main_step(e)), None)

        return self.wait(first, timeout_s)

    def final(self, order: Order, timeout_s=120) -> ExecutorEvent:
        """The last word about the order's executor."""
        return self.wait(lambda events: next((e for e in events if e.kind in FINAL and _is(e, order)), None), timeout_s)

    def texts(self, order: Order) -> list[str]:
        """What the component itself has said so far, without what the platform says of every executor."""
        ours = [e for e in self.events if e.kind is EventKind.LOG and _is(e, order) and not _main_step(e)]
        return [str(e.body["text"]) for e in ours]

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self.client.close()
        self._thread.join(5)


def _main_step(event: ExecutorEvent) -> bool:
    return event.kind is EventKind.LOG and MAIN_STEPS.match(str(event.body["text"])) is not None


def _is(event: ExecutorEvent, order: Order) -> bool:
    return (event.job, event.task, event.attempt, event.address, event.incarnation) == (
        order.job, order.task, order.attempt, order.address, order.incarnation,
    )  # fmt: skip


def eventually(check: Callable[[], object], timeout_s=60.0, what="it", pause_s=0.02) -> Any:
    """Wait until something that announces nothing (a process's end, a file) is so; what the check said."""
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what} never came about"
        time.sleep(pause_s)
    return found
