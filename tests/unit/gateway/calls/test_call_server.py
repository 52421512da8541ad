"""Who answers other parties' Flows: a caller whose calls take long leaves threads to others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from gateway.admin import call_server
from gateway.admin.call_server import CallServer, IncomingCall
from gateway.wire import local

PATIENCE_S = 10.0


class Subscription:
    """What a gateway's `Serve` gives: these calls, and no more until it is cancelled."""

    def __init__(self, calls: list[local.Asked]) -> None:
        self._calls = calls
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def __iter__(self) -> Iterator[local.Asked]:
        yield from self._calls
        self._cancelled.wait(PATIENCE_S)


def test_a_caller_whose_calls_take_long_leaves_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [local.Asked(id=str(number), party="slow", method="propose", body=b"") for number in range(1, 9)]
    calls.append(local.Asked(id="9", party="quick", method="probe", body=b""))
    stub = type("Stub", (), {"__init__": lambda *_: None, "Serve": lambda *_: Subscription(calls)})
    monkeypatch.setattr(call_server, "AdminStub", stub)
    asked: SimpleQueue[str] = SimpleQueue()
    gate = threading.Event()

    def handler(call: IncomingCall) -> bytes:
        asked.put(call.party)
        if call.party == "slow":
            gate.wait(PATIENCE_S)
        return b""

    server = CallServer("/nowhere", handler, threads=4)
    server.start(0.0)
    assert sorted(asked.get(timeout=PATIENCE_S) for _ in range(3)) == ["quick", "slow", "slow"]
    gate.set()
    assert [asked.get(timeout=PATIENCE_S) for _ in range(6)] == ["slow"] * 6
    server.stop()
