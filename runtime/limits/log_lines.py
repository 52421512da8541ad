"""No caller fills the log: of each kind of line by each cause, the first few a minute, then one that counts the rest.

Limited are warnings and errors of our own rooms, and every line of libraries; what a service says of its own course
is not. A kind is the logger, the text and the code; the cause is the peer, caller or address that the line names,
else the logger.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass

from runtime.limits.allowance import Allowance

LINES = 20
KINDS = 50
PERIOD_S = 60.0
_OURS = "archipelago."
_CAUSES = ("peer", "address", "caller")
_MAX_TEXT = 80


@dataclass(frozen=True)
class _Kind:
    logger: str
    level: int
    text: str
    code: str


class LineLimit(logging.Filter):
    """A filter for a handler. What it held back is told, by a line of its own, once the minute is over."""

    def __init__(self, lines: int = LINES, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._allowance: Allowance[_Kind] = Allowance(lines, period_s, KINDS)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if vars(record).get("counts") or (record.name.startswith(_OURS) and record.levelno < logging.WARNING):
            return True
        cause, kind = _cause_and_kind(record)
        if self._allowance.may(cause, kind, time.monotonic()):
            return True
        self._wait()
        return False

    def tell(self, now: float) -> None:
        """Write a line for each kind of which some were held back and whose minute is over at `now` (monotonic)."""
        for cause, kind, missed in self._allowance.missed(now):
            told = kind or _Kind("archipelago.log", logging.WARNING, "of other kinds", "")
            text = " ".join(filter(None, (told.text, cause if cause != told.logger else "", told.code)))
            logger = logging.getLogger(told.logger)
            logger.log(told.level, "… and %s more: %s", f"{missed:,}", text, extra={"counts": True})

    def close(self) -> None:
        """Wait for no minute any more; what was held back is told now."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.tell(math.inf)

    def _wait(self) -> None:
        """Have it told when the next minute is over in which something was held back."""
        with self._lock:
            wait_s = self._allowance.next_s(time.monotonic()) if self._timer is None else None
            if wait_s is not None:
                self._timer = threading.Timer(wait_s, self._tell)
                self._timer.daemon = True
                self._timer.start()

    def _tell(self) -> None:
        with self._lock:
            self._timer = None
        self.tell(time.monotonic())
        self._wait()


def _cause_and_kind(record: logging.LogRecord) -> tuple[str, _Kind]:
    fields = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
    causes = [str(fields[name]) for name in _CAUSES if fields.get(name)]
    text, code = (str(fields.get(name, ""))[:_MAX_TEXT] for name in ("event", "code"))
    return " ".join(causes)[:_MAX_TEXT] or record.name, _Kind(record.name, record.levelno, text, code)
