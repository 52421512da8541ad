"""How long to wait before the next try: short at first, doubling, with jitter, and a ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import SystemRandom

FIRST_S = 0.02
_SPREAD = SystemRandom()  # of the system: the module's own generator belongs to whoever seeds it


@dataclass
class Backoff:
    """The waits of one series of tries."""

    ceiling_s: float
    first_s: float = FIRST_S
    _next_s: float = field(init=False, default=0.0)

    def next(self) -> float:
        """The wait before the next try, in seconds."""
        self._next_s = min(self.ceiling_s, self._next_s * 2 or self.first_s)
        return self._next_s * _SPREAD.uniform(0.75, 1.0)

    def reset(self) -> None:
        """A try succeeded."""
        self._next_s = 0.0
