"""Asking a party again while it, or its database, is down: for who follows something and must not lose it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from runtime.errors import Unavailable

PATIENCE_S = 300.0  # a restart of Flow or of its database
PAUSE_S = 0.5

T = TypeVar("T")
Waits = Callable[[Unavailable], None]


class Patience:
    """Bears an outage for a while; `waits` is told the first error of each."""

    def __init__(self, waits: Waits | None = None, *, for_s: float = PATIENCE_S, pause_s: float = PAUSE_S) -> None:
        self._waits = waits or (lambda _: None)
        self._for_s = for_s
        self._pause_s = pause_s
        self._since: float | None = None

    def bear(self, error: Unavailable) -> None:
        """Pause before the next try. Raises the error once patience is over."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._waits(error)
        if now - self._since >= self._for_s:
            raise error
        time.sleep(self._pause_s)

    def over(self) -> None:
        """The party answered."""
        self._since = None

    def ask(self, question: Callable[[], T]) -> T:
        """The answer, however often it takes to ask. Raises Unavailable once patience is over."""
        while True:
            try:
                answer = question()
            except Unavailable as error:
                self.bear(error)
            else:
                self.over()
                return answer
