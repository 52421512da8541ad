"""A brake on guessing: after a few wrong answers under a name, each further one must wait longer.

It holds a bounded number of names in memory. Whoever guesses delays the one who knows by at most `LONGEST_S`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from party.clock import Clock
from party.errors import TooManyGuesses

FREE = 5  # wrong answers that cost nothing: people mistype
FIRST_S = 1.0
LONGEST_S = 60.0
FORGET_S = 15 * 60.0
MAX_NAMES = 10_000


@dataclass(frozen=True)
class _Wrong:
    """How often in a row, when last, and from when on the next answer is looked at (monotonic seconds)."""

    count: int
    at_s: float
    next_s: float


class Brake:
    """Counts wrong answers by name: a user, an address. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()

    def admit(self, *names: str) -> None:
        """Return if an answer under all these names may be looked at now, and count it as wrong until `right`.

        Counting first leaves no gap in which many answers are looked at together. Raises TooManyGuesses.
        """
        now = self._clock.monotonic()
        with self._lock:
            wait_s = max(self._of(name, now).next_s - now for name in names)
            if wait_s > 0:
                raise TooManyGuesses(
                    "There were too many wrong passwords.", hint=f"Try again in {int(wait_s) + 1} seconds."
                )
            for name in names:
                self._count(name, now)

    def right(self, *names: str) -> None:
        """The answer was right: it is not counted. Those before it stay: one's own account hides no other guess."""
        now = self._clock.monotonic()
        with self._lock:
            for name in names:
                if known := self._wrong.get(name):
                    self._wrong[name] = _Wrong(known.count - 1, known.at_s, now)

    def _of(self, name: str, now: float) -> _Wrong:
        known = self._wrong.get(name)
        return known if known and now - known.at_s < FORGET_S else _Wrong(0, now, now)

    def _count(self, name: str, now: float) -> None:
        count = self._of(name, now).count + 1
        delay_s = min(LONGEST_S, FIRST_S * 2.0 ** (count - FREE)) if count >= FREE else 0.0
        self._wrong[name] = _Wrong(count, now, now + delay_s)
        self._wrong.move_to_end(name)
        while len(self._wrong) > MAX_NAMES:
            self._wrong.popitem(last=False)
