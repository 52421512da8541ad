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
    """Bears an outage for PATIENCE_S; `waits` is told the first error of each."""

    def __init__(self, waits: Waits | None = None) -> None:
        self._waits = waits or (lambda _: None)
        self._since: float | None = None

    def bear(self, error: Unavailable) -> None:
        """Pause before the next try. Raises the error once patience is over."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._waits(error)
        if now - self._since >= PATIENCE_S:
            raise error
        time.sleep(PAUSE_S)

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
