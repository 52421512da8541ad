"""Which received messages the kept checkpoints of one address cover, and so may be let go. No I/O."""

from __future__ import annotations

import threading

from party.ids import Address
from storage.client import KEPT_CHECKPOINTS

Step = tuple[int, ...]
Incoming = tuple[Address, str, Step]  # a message to us: from, tag, step


class Coverage:
    """Remembers what was received since the oldest kept checkpoint. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumed: list[Incoming] = []
        self._covered: list[list[Incoming]] = []

    def took(self, message: Incoming) -> None:
        """A message was received."""
        with self._lock:
            self._consumed.append(message)

    def checkpointed(self) -> list[Incoming]:
        """A checkpoint was stored: what the oldest kept one now covers."""
        with self._lock:
            self._covered.append(self._consumed)
            self._consumed = []
            through = [message for batch in self._covered[: 1 - KEPT_CHECKPOINTS] for message in batch]
            self._covered = self._covered[1 - KEPT_CHECKPOINTS :]
        return through
