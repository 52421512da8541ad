"""Who waits for which message: a thread sleeps on its own event and is woken by the arrival, never by a clock."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class Arrivals:
    """The waiting room of the mailbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[threading.Event]] = defaultdict(list)

    @contextmanager
    def waiting(self, keys: Sequence[str]) -> Iterator[threading.Event]:
        """An event that is set when one of the keys arrives or everybody is woken."""
        event = threading.Event()
        with self._lock:
            for key in keys:
                self._waiting[key].append(event)
        try:
            yield event
        finally:
            with self._lock:
                for key in keys:
                    self._waiting[key].remove(event)
                    if not self._waiting[key]:
                        del self._waiting[key]

    def arrived(self, keys: Iterable[str]) -> None:
        """Wake those who wait for one of the keys."""
        with self._lock:
            for key in keys:
                for event in self._waiting.get(key, ()):
                    event.set()

    def wake_all(self) -> None:
        """Wake everybody: a token was revoked, a job closed, or the gateway stops."""
        with self._lock:
            for events in self._waiting.values():
                for event in events:
                    event.set()
