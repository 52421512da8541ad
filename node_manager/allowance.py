"""How much one executor may tell: thinned out where it is said, bounded where it is read. Pure.

An executor keeps to a `LineAllowance` of its own accord, so that its log stays small. Its Node Manager believes nobody
and counts in a `Purse` what it takes of each event log. What is above is counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

MOST_EVENTS = 100_000  # of a kind and an incarnation
MOST_BYTES = 8 << 20  # of what they say
MOST_AT_ONCE = 1_000
MOST_A_SECOND = 50.0
LAST_LINES = 100  # of the most, which an executor keeps for its last words
LAST_BYTES = 512 << 10


class LineAllowance:
    """Asked by an executor before every line: so many at once, so many a second, so many in all."""

    def __init__(self) -> None:
        self._saved = float(MOST_AT_ONCE)
        self._asked_s = 0.0
        self._lines = 0
        self._bytes = 0
        self._left_out = 0

    def take(self, size: int, now_s: float) -> int | None:
        """How many lines were left out since the last that was let through; None: this one is left out as well.

        A number above zero is told in a line of its own, which counts too.
        """
        if self._asked_s:
            self._saved = min(MOST_AT_ONCE, self._saved + (now_s - self._asked_s) * MOST_A_SECOND)
        self._asked_s = now_s
        lines, used = self._lines + 1 + bool(self._left_out), self._bytes + size
        if self._saved < 1 or lines > MOST_EVENTS - LAST_LINES or used > MOST_BYTES - LAST_BYTES:
            self._left_out += 1
            return None
        self._saved -= 1
        self._lines, self._bytes = lines, used
        return self.left_out()

    def left_out(self) -> int:
        """How many lines were left out; they count once."""
        count, self._left_out = self._left_out, 0
        return count


@dataclass(frozen=True)
class LogBounds:
    """What a Node Manager takes of one event log.

    Attributes:
        events, event_bytes: Of each kind, in all.
        turn_bytes: What is read before another log has its turn.
        line_bytes: The longest line.
        log_bytes: The largest log; of what comes after only the last word is read.
    """

    events: int = MOST_EVENTS
    event_bytes: int = MOST_BYTES
    turn_bytes: int = 256 << 10
    line_bytes: int = 64 << 10
    log_bytes: int = 64 << 20


BOUNDS = LogBounds()


class EventCount(NamedTuple):
    """What was taken of one kind of events, and how many were left out."""

    events: int = 0
    bytes: int = 0
    left_out: int = 0


class Purse:
    """Asked by a Node Manager before every event of one log; `spent` says what was taken of each kind before."""

    def __init__(self, spent: Mapping[str, EventCount], bounds: LogBounds = BOUNDS) -> None:
        self.spent = dict(spent)
        self._bounds = bounds

    def take(self, kind: str, size: int) -> bool:
        """Whether one more of a kind, which says so many bytes, is taken."""
        had = self.spent.get(kind, EventCount())
        if had.events >= self._bounds.events or had.bytes + size > self._bounds.event_bytes:
            self.leave_out(kind)
            return False
        self.spent[kind] = had._replace(events=had.events + 1, bytes=had.bytes + size)
        return True

    def leave_out(self, kind: str) -> None:
        """Count one that is not taken."""
        had = self.spent.get(kind, EventCount())
        self.spent[kind] = had._replace(left_out=had.left_out + 1)


def left_out_text(spent: Mapping[str, EventCount], bounds: LogBounds = BOUNDS) -> str:
    """How many events of which kinds were left out, for people; empty if none were."""
    counts = [f"{had.left_out} of kind '{kind}'" for kind, had in sorted(spent.items()) if had.left_out]
    if not counts:
        return ""
    most = f"{bounds.events} of a kind or {bounds.event_bytes >> 20} MiB"
    return f"… left out: {', '.join(counts)}; more than {most} are not kept"
