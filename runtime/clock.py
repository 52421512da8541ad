"""Where time comes from. Decisions get a clock passed in; only `main` functions make a `SystemClock`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from runtime.bounds import MAX_TIME_MS

MOST_APART_MS = 60_000  # clocks of two parties that are further apart are named, and move nothing at the other
MAX_COUNTER = 999_999
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_READING = re.compile(r"(\d{13})\.(\d{6})", re.ASCII)


class Clock(Protocol):
    """Two clocks in one: wall time for people, monotonic time for waiting."""

    def now(self) -> datetime:
        """Wall time, aware, UTC. For people and certificates only."""

    def monotonic(self) -> float:
        """Seconds that never go backwards. For waits."""


def now_ms(clock: Clock) -> int:
    """Wall time in whole milliseconds since 1970."""
    return int(clock.now().timestamp() * 1000)


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


def moment(at_ms: float) -> datetime | None:
    """Wall time in UTC of milliseconds since 1970, or None where a calendar ends: others' clocks say anything."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if 0 <= at_ms <= MAX_TIME_MS else None


def when(at_ms: float) -> str:
    """Wall time for people wherever they are: UTC, to the second."""
    found = moment(at_ms)
    return found.strftime("%Y-%m-%d %H:%M:%S UTC") if found else "a time that cannot be shown"


def span(ms: float) -> str:
    """A length of time for people: `3.2 s`, `1 h 5 min`."""
    if ms < 59_950:
        return f"{max(ms, 0) / 1000:.1f}".removesuffix(".0") + " s"
    left, parts = round(ms / 1000), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(i for i, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


@dataclass(frozen=True)
class Apart:
    """A clock of another party that was found to be further from ours than `MOST_APART_MS`.

    Attributes:
        ahead_ms: By how much it was ahead of ours; negative if behind.
        seen_ms: When, by our clock, in milliseconds since 1970.
    """

    ahead_ms: int
    seen_ms: int


def apart_text(party: str, ahead_ms: int, seen_ms: int | None = None) -> str:
    """What to say of a clock that is so far ahead of ours; with `seen_ms` of one that was, when last heard of."""
    way = "ahead of" if ahead_ms > 0 else "behind"
    verb = "is" if seen_ms is None else "was"
    last = "" if seen_ms is None else f" when last heard of, at {when(seen_ms)}"
    return f"The clock of {party} {verb} {span(abs(ahead_ms))} {way} ours{last}."


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
