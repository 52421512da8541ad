"""The loop: keyed pieces of work, run when they are due, each by one thread at a time, woken by events.

It knows nothing of jobs. A key that is poked while it runs runs once more afterwards; what a run returns is the time
until the key wants to run again. Nothing here polls: the loop sleeps until the next piece of work is due. Keys that
name the same `party` take no more than half of the threads, so that one that answers slowly holds up only its own.
"""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import count
from random import SystemRandom
from threading import Condition, Thread
from typing import Any

from runtime.errors import PlatformError
from runtime.limits.pauses import doubled_s
from runtime.limits.shares import SharedPool
from runtime.log import get_logger
from runtime.metrics import metrics

WORKERS = 16
REMEMBERED = 10_000
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 15.0
_WORK = metrics("flow").histogram("work_seconds", "How long pieces of work about jobs take.", ["kind"])
_PUT_OFF = metrics("flow").counter("work_put_off", "Pieces of work that failed and are tried again.", ["kind"])
JITTER = SystemRandom()
"""Spreads tries; of the system, because the module's own generator belongs to whoever seeds it."""

Handler = Callable[[Any], float | None]
"""Does one piece of work; returns the seconds until it wants to run again, or None."""


class Scheduler:
    """Runs keys by the handler of their type, from `start` to `close`; what is poked before that is due then."""

    def __init__(self, workers: int = WORKERS, first_retry_s: float = FIRST_RETRY_S) -> None:
        self._handlers: Mapping[type, Handler] = {}
        self._change = Condition()
        self._due: dict[Hashable, float] = {}
        self._queue: list[tuple[float, int, Hashable]] = []
        self._running: set[Hashable] = set()
        self._again: dict[Hashable, float] = {}
        self._finished: OrderedDict[Hashable, int] = OrderedDict()
        self._failures: dict[Hashable, int] = {}
        self._order = count(1)
        self._open = False
        self._workers = workers
        self._first_retry_s = first_retry_s
        self._pool: SharedPool | None = None
        self._thread: Thread | None = None
        self._log = get_logger("flow")

    def start(self, handlers: Mapping[type, Handler]) -> None:
        """Begin to run what is due."""
        self._handlers = handlers
        self._pool = SharedPool(self._workers, max(1, self._workers // 2), "flow-work")
        self._thread = Thread(target=self._loop, name="flow-scheduler", daemon=True)
        self._open = True
        self._thread.start()

    def close(self) -> None:
        """Finish what is running; what was due is forgotten, because the store knows it."""
        with self._change:
            self._open = False
            self._due.clear()
            self._queue.clear()
            self._again.clear()
            self._change.notify_all()
        if self._thread is not None and self._pool is not None:
            self._thread.join()
            self._pool.shutdown(wait=True)

    def poke(self, key: Hashable, delay_s: float = 0.0) -> None:
        """Run the key after the delay at the latest; if it runs right now, once more afterwards."""
        with self._change:
            self._poke(key, time.monotonic() + delay_s)

    def mark(self) -> int:
        """A moment; see `offer`."""
        with self._change:
            return next(self._order)

    def offer(self, key: Hashable, since: int, delay_s: float = 0.0) -> None:
        """Run the key unless it is due or running already, or has finished after the moment `since`."""
        with self._change:
            known = key in self._due or key in self._running
            if not known and self._finished.get(key, 0) < since:
                self._poke(key, time.monotonic() + delay_s)

    def count(self, match: Callable[[Any], bool]) -> int:
        """How many keys that match wait or run."""
        with self._change:
            return sum(map(match, {*self._due, *self._running}))

    def hurry(self, match: Callable[[Any], bool]) -> None:
        """Make every waiting key that matches due now."""
        with self._change:
            now = time.monotonic()
            for key in [key for key, at in self._due.items() if at > now and match(key)]:
                self._poke(key, now)

    def hurry_first(self, match: Callable[[Any], bool], order: Callable[[Any], Any], most: int) -> None:
        """Make the first few in an order, of the keys that match and wait or run, due now, and in that order."""
        with self._change:
            now = time.monotonic()
            for key in sorted(filter(match, {*self._due, *self._running}), key=order)[:most]:
                self._poke(key, now)

    def _poke(self, key: Hashable, at: float) -> None:
        if key in self._running:
            self._again[key] = min(at, self._again.get(key, at))
        elif self._due.get(key, float("inf")) > at:
            self._due[key] = at
            heapq.heappush(self._queue, (at, next(self._order), key))
            self._change.notify()

    def _loop(self) -> None:
        while (key := self._next()) is not None:
            if self._pool is not None:
                self._pool.submit(getattr(key, "party", None), partial(self._run, key))

    def _next(self) -> Hashable | None:
        """The next key that is due; None once the scheduler is closed."""
        with self._change:
            while self._open:
                now = time.monotonic()
                if self._queue and self._queue[0][0] <= now:
                    at, _, key = heapq.heappop(self._queue)
                    if self._due.get(key) != at:
                        continue  # poked earlier meanwhile
                    del self._due[key]
                    self._running.add(key)
                    return key
                self._change.wait(self._queue[0][0] - now if self._queue else None)
        return None

    def _run(self, key: Hashable) -> None:
        again = self._attempt(key)
        with self._change:
            self._running.discard(key)
            poked = self._again.pop(key, None)
            self._finished[key] = next(self._order)
            self._finished.move_to_end(key)
            if len(self._finished) > REMEMBERED:
                self._finished.popitem(last=False)
            wanted = [at for at in (poked, None if again is None else time.monotonic() + again) if at is not None]
            if wanted and self._open:
                self._poke(key, min(wanted))

    def _attempt(self, key: Hashable) -> float | None:
        try:
            with _WORK.labels(type(key).__name__).time():
                again = self._handlers[type(key)](key)
        except PlatformError as error:
            self._log.warning("work.postponed", work=repr(key), code=error.code, message=error.message)
        except Exception:  # noqa: BLE001 - the scheduler's loop: one broken job must not stop the others
            self._log.exception("work.failed", work=repr(key))
        else:
            self._failures.pop(key, None)
            return again
        _PUT_OFF.labels(type(key).__name__).inc()
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return doubled_s(self._first_retry_s, failures - 1, LAST_RETRY_S)
