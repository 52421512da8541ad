"""Wakes every open event stream when Flow has new ones: one waiting thread, however many streams there are."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Protocol

from runtime.errors import PlatformError
from runtime.log import get_logger

WAIT_S = 1.0  # how long the thread may sit in one wait: bounds the time to stop
RETRY_S = 0.5

_log = get_logger("flow")


class EventSource(Protocol):
    """What the pulse listens to."""

    def wait_events(self, since: int, timeout_s: float) -> int:
        """Block until an event above `since` exists or the time is over; the newest event id."""


class Pulse:
    """The newest event id, and a bell that rings when it moves. Streams wait in the event loop, not in threads."""

    def __init__(self, source: EventSource) -> None:
        self._source = source
        self._newest = 0
        self._bell = asyncio.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen; the bell rings in `loop`."""
        self._loop = loop
        self._thread = threading.Thread(target=self._listen, name="flow-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let every stream end. Any thread may call it, more than once."""
        self._over.set()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring, self._newest)

    @property
    def over(self) -> bool:
        """Whether the streams should end."""
        return self._over.is_set()

    @property
    def newest(self) -> int:
        """The id of the newest event that was heard of."""
        return self._newest

    async def wait(self, since: int, limit_s: float) -> bool:
        """Whether there is an event above `since`; waits for one until the time is over or the streams should end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._newest <= since and not self.over:
                    await self._bell.wait()
        return self._newest > since

    def _listen(self) -> None:
        while not self.over:
            try:
                newest = self._source.wait_events(self._newest, WAIT_S)
            except PlatformError as error:
                _log.warning("rest.pulse_lost", code=error.code)
                self._over.wait(RETRY_S)
                continue
            if newest > self._newest and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._ring, newest)
                self._newest = newest

    def _ring(self, newest: int) -> None:
        self._newest = max(self._newest, newest)
        self._bell.set()
        self._bell = asyncio.Event()
