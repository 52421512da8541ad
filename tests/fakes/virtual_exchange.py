"""An exchange in one process whose time a test moves by hand."""

from __future__ import annotations

import threading

from gateway.client import LocalExchange
from tests.fakes.clock import FakeClock


class _Counting(threading.Condition):
    """Counts who waits since it was last notified."""

    waiting = 0

    def notify_all(self) -> None:
        self.waiting = 0
        super().notify_all()


class VirtualExchange(LocalExchange):
    """Waits end when a message comes or `advance` has reached their time; nobody sleeps."""

    def __init__(self) -> None:
        self._time = FakeClock()
        super().__init__(clock=self._time)
        lock = threading.RLock()
        self._arrived = self._counting = _Counting(lock)
        self._somebody = threading.Condition(lock)

    def advance(self, seconds: float, *, waiting: int = 1) -> None:
        """Move time forward once `waiting` sides wait for something."""
        with self._arrived:
            assert self._somebody.wait_for(lambda: self._counting.waiting >= waiting, 30)
            self._time.advance(seconds)
            self._arrived.notify_all()

    def _wait(self, until: float | None) -> None:
        self._counting.waiting += 1
        self._somebody.notify_all()
        self._arrived.wait()
