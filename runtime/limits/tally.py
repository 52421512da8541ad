"""Reasons counted and told: the first at once, then all that came meanwhile in one line; so no caller fills the log.

What is counted last is told when another one comes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable

TELL_EVERY_S = 30.0


class Tally:
    """Counts of reasons, told at most every `every_s` seconds. For one thread; the reasons are our own few.

    Args:
        tell: What is done with a text such as `3 too many, 1 too late`.
        every_s: Seconds between two tellings.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        every_s: float = TELL_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._every_s = every_s
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._told_at = -math.inf

    def count(self, why: str) -> None:
        """One more of this reason."""
        self._counts[why] += 1
        now = self._clock()
        if now - self._told_at >= self._every_s:
            self._told_at = now
            counts, self._counts = self._counts, Counter()
            self._tell(", ".join(f"{number} {why}" for why, number in counts.items()))
