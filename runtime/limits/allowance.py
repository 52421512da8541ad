"""So much of a kind in a period, and a count of what was too much: for whatever others can make us write. Pure."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
CAUSES = 1000


@dataclass
class _Window:
    begun: float
    passed: int = 0
    missed: int = 0


class Allowance(Generic[K]):
    """Lets the first `most` of each kind by each cause pass in every `period_s`.

    A cause (a peer, an address) that invents kinds crowds out nobody: of each, `kinds` are told apart, and what is
    more counts together as the kind None. Causes without number count together as the cause "".
    """

    def __init__(self, most: int, period_s: float, kinds: int = 20) -> None:
        self._most = most
        self._period_s = period_s
        self._kinds = kinds
        self._lock = threading.Lock()
        self._windows: dict[str, dict[K | None, _Window]] = {}
        self._look_again_at = -math.inf

    def may(self, cause: str, kind: K, now: float) -> bool:
        """Whether one more of the kind may pass at `now` (seconds on any clock that only goes forward)."""
        with self._lock:
            window = self._window(cause, kind, now)
            if window.passed < self._most:
                window.passed += 1
                return True
            window.missed += 1
            return False

    def missed(self, now: float) -> list[tuple[str, K | None, int]]:
        """Of which cause and kind too much came, how many were not let pass; for those whose period is over."""
        with self._lock:
            over = [
                (cause, kind, window.missed)
                for cause, windows in self._windows.items()
                for kind, window in windows.items()
                if window.missed and self._over(window, now)
            ]
            for cause, kind, _ in over:
                del self._windows[cause][kind]
            return over

    def next_s(self, now: float) -> float | None:
        """In how many seconds the next period ends in which something was not let pass; None if there is none."""
        with self._lock:
            begun = [w.begun for windows in self._windows.values() for w in windows.values() if w.missed]
            return max(0.0, min(begun) + self._period_s - now) if begun else None

    def _window(self, cause: str, kind: K | None, now: float) -> _Window:
        if cause not in self._windows and len(self._windows) >= CAUSES:
            cause = cause if self._make_room(now) else ""
        windows = self._windows.setdefault(cause, {})
        if kind not in windows and len(windows) >= self._kinds:
            windows = self._windows[cause] = self._loud(windows, now)
            if len(windows) >= self._kinds:
                kind = None
        window = windows.get(kind)
        if window is None or (self._over(window, now) and not window.missed):
            window = windows[kind] = _Window(now)
        return window

    def _make_room(self, now: float) -> bool:
        """Forget the causes that were quiet; looked for a few times a period, whatever comes."""
        if now >= self._look_again_at:
            self._look_again_at = now + self._period_s / 20
            self._windows = {cause: left for cause, of in self._windows.items() if (left := self._loud(of, now))}
        return len(self._windows) < CAUSES

    def _loud(self, windows: dict[K | None, _Window], now: float) -> dict[K | None, _Window]:
        """Without the kinds that were quiet."""
        return {kind: window for kind, window in windows.items() if window.missed or not self._over(window, now)}

    def _over(self, window: _Window, now: float) -> bool:
        return now - window.begun >= self._period_s
