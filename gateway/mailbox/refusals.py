"""What was refused, inward or outward, stands in the ledger and in the log; a flood of it is counted, not copied."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from gateway.envelope import Conversation, Header, parse_envelope
from gateway.mailbox.ledger import Entry
from gateway.mailbox.store import Mailbox
from runtime.errors import PlatformError
from runtime.limits.allowance import Allowance
from runtime.log import get_logger
from runtime.metrics import metrics
from runtime.text import printable

ENTRIES = 60  # of one peer, job and code
KINDS = 20  # that are told apart: of one peer that sends, of one job of ours that sends; any name may stand in the rest
PERIOD_S = 60.0
MAX_CHARS = 300
_log = get_logger("gateway")
_REFUSED = metrics("gateway").counter("refused", "Messages and calls that were refused.", ["direction", "code"])


@dataclass(frozen=True)
class _Kind:
    peer: str
    job: str
    code: str


class Refusals:
    """Writes refusals into the ledger.

    Args:
        mailbox: Its ledger.
        clock: Seconds that only go forward.
    """

    def __init__(self, mailbox: Mailbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._allowances = {inward: Allowance[_Kind](ENTRIES, PERIOD_S, KINDS) for inward in (True, False)}

    def envelope(self, peer: str, header: bytes, error: PlatformError) -> None:
        """An envelope of a peer was refused; its header may be anything."""
        try:
            read: Header | None = parse_envelope(header, b"").header
        except PlatformError:
            read = None
        what = "" if read is None else _path(read.conversation)
        job, size, messages = (read.job, read.size, len(read.parts)) if read else ("", 0, 1)
        digest = read.sha256 if read else sha256(header).hexdigest()
        self._write(Entry(0, True, peer, job, what, messages, size, digest), error)

    def call(self, peer: str, method: str, header: bytes, error: PlatformError) -> None:
        """A call of a peer was refused."""
        what = f"call/{method}" if method else "call"
        self._write(Entry(0, True, peer, "", what, 1, 0, sha256(header).hexdigest()), error)

    def kept(self, peer: str, conversation: Conversation, size: int, digest: str, error: PlatformError) -> None:
        """A message that was sealed, and therefore kept before it could be read, was not handed out."""
        self._write(Entry(0, True, peer, conversation.job, _path(conversation), 1, size, digest), error)

    def outward(self, conversation: Conversation, size: int, error: PlatformError) -> None:
        """A message of an executor of ours was refused."""
        peer = conversation.to.partition(":")[2]
        self._write(Entry(0, False, _shown(peer), conversation.job, _path(conversation), 1, size, ""), error)

    def _write(self, attempted: Entry, error: PlatformError) -> None:
        _log.warning(
            "Refused a message",
            peer=attempted.peer,
            code=error.code,
            inward=attempted.inward,
            job=attempted.job,
            reason=error.message,
        )
        _REFUSED.labels("in" if attempted.inward else "out", error.code).inc()
        now = self._clock()
        self._tell(now)
        cause = attempted.peer if attempted.inward else attempted.job
        kind = _Kind(attempted.peer, attempted.job, error.code)
        if self._allowances[attempted.inward].may(cause, kind, now):
            self._mailbox.record_refused(attempted, error.code)

    def tell(self) -> None:
        """Count in the ledger what was too much, of each kind whose period is over."""
        self._settle(self._clock())

    def close(self) -> None:
        """Count in the ledger all that was too much, whether or not its period is over."""
        self._settle(math.inf)

    def _settle(self, now: float) -> None:
        """As `_tell`, where nobody waits for it: a ledger that cannot be written is told in the log."""
        try:
            self._tell(now)
        except (PlatformError, sqlite3.Error, OSError) as error:
            _log.error("Refusals cannot be counted in the ledger", reason=str(error))

    def _tell(self, now: float) -> None:
        for inward, allowance in self._allowances.items():
            for cause, kind, missed in allowance.missed(now):
                told = kind or (_Kind(cause, "", "several") if inward else _Kind("", cause, "several"))
                self._mailbox.record_refused(Entry(0, inward, told.peer, told.job, "more", missed, 0, ""), told.code)


def _path(conversation: Conversation) -> str:
    names = (conversation.task, str(conversation.attempt), conversation.frm, conversation.to, conversation.tag)
    return _shown("/".join(names))


def _shown(text: str) -> str:
    return printable(text)[:MAX_CHARS]
