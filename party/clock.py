"""Where time comes from. Decisions get a clock passed in; only `main` functions make a `SystemClock`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from party.bounds import MAX_TIME_MS

MAX_COUNTER = 999_999
_READING = re.compile(r"(\d{13})\.(\d{6})", re.ASCII)


class Clock(Protocol):
    """Two clocks in one: wall time for people, monotonic time for waiting."""

    def now(self) -> datetime:
        """Wall time, aware, UTC. For people and certificates only."""

    def monotonic(self) -> float:
        """Seconds that never go backwards. For waits."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class FakeClock:
    """A clock that a test moves by hand."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The time the test has set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


def moment(at_ms: float) -> datetime | None:
    """Wall time in UTC of milliseconds since 1970, or None where a calendar ends: others' clocks say anything."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if 0 <= at_ms <= MAX_TIME_MS else None


@dataclass(frozen=True, order=True)
class HybridTime:
    """A hybrid logical clock reading: wall milliseconds, a counter for ties.

    Source: Kulkarni et al. 2014, "Logical Physical Clocks", figure 5.
    """

    wall_ms: int
    counter: int

    def __str__(self) -> str:
        return f"{self.wall_ms:013d}.{self.counter:06d}"

    @staticmethod
    def parse(text: str) -> HybridTime:
        """The reading that `str` printed. Raises ValueError for any other text."""
        found = _READING.fullmatch(text)
        if found is None:
            raise ValueError(f"'{text[:40]}' is no reading of a hybrid clock")
        return HybridTime(int(found[1]), int(found[2]))

    def next(self, now: datetime, seen: HybridTime | None = None) -> HybridTime:
        """The reading of the next event here, after this one and after `seen` from another party."""
        newest = max(self, seen) if seen else self
        wall_ms = int(now.timestamp() * 1000)
        if wall_ms > newest.wall_ms:
            return HybridTime(wall_ms, 0)
        if newest.counter >= MAX_COUNTER:
            return HybridTime(newest.wall_ms + 1, 0)
        return HybridTime(newest.wall_ms, newest.counter + 1)
