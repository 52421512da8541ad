"""So much of a kind in a period, and a count of what was too much: for whatever others can make us write. Pure."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass
class _Window:
    begun: float
    passed: int = 0
    missed: int = 0


class Allowance(Generic[K]):
    """Lets the first `most` of each kind pass in every `period_s`; no more than `kinds` kinds are told apart."""

    def __init__(self, most: int, period_s: float, kinds: int = 1000) -> None:
        self._most = most
        self._period_s = period_s
        self._kinds = kinds
        self._lock = threading.Lock()
        self._windows: dict[K, _Window] = {}

    def may(self, kind: K, now: float) -> bool:
        """Whether one more of the kind may pass at `now` (seconds on any clock that only goes forward)."""
        with self._lock:
            window = self._windows.get(kind)
            if window is None or (now - window.begun >= self._period_s and not window.missed):
                if window is None and len(self._windows) >= self._kinds and not self._forget(now):
                    return False
                window = self._windows[kind] = _Window(now)
            if window.passed < self._most:
                window.passed += 1
                return True
            window.missed += 1
            return False

    def missed(self, now: float) -> list[tuple[K, int]]:
        """The kinds of which too much came, how many were not let pass, and a new period for each that is over."""
        with self._lock:
            over = [(k, w) for k, w in self._windows.items() if w.missed and now - w.begun >= self._period_s]
            for kind, _ in over:
                del self._windows[kind]
            return [(kind, window.missed) for kind, window in over]

    def _forget(self, now: float) -> bool:
        """Make room by the kinds that were quiet; False if there are none."""
        quiet = [k for k, w in self._windows.items() if not w.missed and now - w.begun >= self._period_s]
        for kind in quiet:
            del self._windows[kind]
        return bool(quiet)
