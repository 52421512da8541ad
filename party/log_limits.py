"""No caller fills the log: of each kind of line by each cause, the first few a minute, then one that counts the rest.

Limited are warnings and errors of our own rooms, and every line of libraries; what a service says of its own course
is not. A kind is the logger and the text; the cause is the peer, party or address that the line names.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from party.allowance import Allowance

LINES = 20
PERIOD_S = 60.0
_OURS = "archipelago."
_CAUSES = ("peer", "party", "address", "caller", "code")
_MAX_TEXT = 80


@dataclass(frozen=True)
class _Kind:
    logger: str
    level: int
    text: str
    cause: str


class LineLimit(logging.Filter):
    """A filter for a handler. What it held back is told, by a line of its own, once the minute is over."""

    def __init__(self, lines: int = LINES, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._allowance: Allowance[_Kind] = Allowance(lines, period_s)
        self._period_s = period_s
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if vars(record).get("counts") or (record.name.startswith(_OURS) and record.levelno < logging.WARNING):
            return True
        if self._allowance.may(_kind_of(record), time.monotonic()):
            return True
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(self._period_s, self._tell)
                self._timer.daemon = True
                self._timer.start()
        return False

    def tell(self, now: float) -> None:
        """Write a line for each kind of which some were held back and whose minute is over at `now` (monotonic)."""
        for kind, missed in self._allowance.missed(now):
            logger, text = logging.getLogger(kind.logger), f"{kind.text} {kind.cause}".rstrip()
            logger.log(kind.level, "… and %s more: %s", f"{missed:,}", text, extra={"counts": True})

    def close(self) -> None:
        """Wait for no minute any more; what was held back is told now."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self.tell(time.monotonic() + self._period_s)

    def _tell(self) -> None:
        with self._lock:
            self._timer = None
        self.tell(time.monotonic() + self._period_s)


def _kind_of(record: logging.LogRecord) -> _Kind:
    if isinstance(record.msg, dict):
        fields = record.msg
        causes = [str(fields[name]) for name in _CAUSES if fields.get(name)]
        return _Kind(
            record.name, record.levelno, str(fields.get("event", ""))[:_MAX_TEXT], " ".join(causes)[:_MAX_TEXT]
        )
    return _Kind(record.name, record.levelno, str(record.msg)[:_MAX_TEXT], "")
