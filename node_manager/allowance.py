"""How many lines an executor may say for people: so many at once, so many a second, so many in all. Pure.

What is above is not kept; the next line that is says how many were left out before it.
"""

from __future__ import annotations

MOST_AT_ONCE = 1_000
MOST_A_SECOND = 50.0
MOST_LINES = 20_000
MOST_CHARS = 8 << 20


class Allowance:
    """Asked before every line."""

    def __init__(self) -> None:
        self._saved = float(MOST_AT_ONCE)
        self._asked_s = 0.0
        self._lines = 0
        self._chars = 0
        self._left_out = 0

    def take(self, chars: int, now_s: float) -> int | None:
        """How many lines were left out since the last that was let through; None: this one is left out as well."""
        if self._asked_s:
            self._saved = min(MOST_AT_ONCE, self._saved + (now_s - self._asked_s) * MOST_A_SECOND)
        self._asked_s = now_s
        if self._saved < 1 or self._lines >= MOST_LINES or self._chars + chars > MOST_CHARS:
            self._left_out += 1
            return None
        self._saved -= 1
        self._lines += 1
        self._chars += chars
        return self.left_out()

    def left_out(self) -> int:
        """How many lines were left out; they count once."""
        count, self._left_out = self._left_out, 0
        return count
