"""The mailbox: what every body of it promises.

- The first write of a key wins: `put_out` answers False, and keeps nothing, if a key of the envelope was taken.
- `put_in` keeps a message before it returns; the same key with the same digest is answered False, with another
  digest it raises MessageConflict.
- A message may be read until it is released; its key and digest stay until the job is closed.
- A job that is not open takes nothing; a closed one is remembered as closed.
- What messages of plain scalars take of their line's budget is counted with them; the keys that ciphertexts name are
  remembered with them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from gateway.contract import JobContract
from gateway.envelope import Envelope
from gateway.errors import MessageGone
from gateway.mailbox.ledger import Entry, JobTraffic
from gateway.scalars import Bill
from runtime.errors import PlatformError

INLINE_BYTES = 64 << 10  # larger bodies get a file
LARGE_BYTES = 256 << 10  # larger bodies travel in a stream of their own
NOTHING = Bill()


class Spool(Protocol):
    """A body that is being written; it belongs to the mailbox once put."""

    @property
    def size(self) -> int:
        """Bytes written so far, those of an earlier try included."""

    def write(self, data: bytes | memoryview) -> None:
        """Append."""

    def hexdigest(self) -> str:
        """SHA-256 of what was written."""

    def part_digest(self, offset: int, size: int) -> str:
        """SHA-256 of a part of it, read piece by piece."""

    def buffer(self) -> pa.Buffer:
        """What was written, without a copy where it lies in a file."""

    def keep(self) -> None:
        """Close it but leave it for a later try."""

    def abandon(self) -> None:
        """Forget it."""


Body = bytes | Spool


@dataclass(frozen=True)
class Place:
    """Where the bytes of a message lie: in `data`, or in the file at `path`."""

    size: int
    data: bytes = b""
    path: Path | None = None
    offset: int = 0

    def buffer(self) -> pa.Buffer:
        """The bytes; a file is mapped, not read. Raises MessageGone if it was released meanwhile."""
        if self.path is None:
            return pa.py_buffer(self.data)
        try:
            with pa.memory_map(str(self.path)) as mapped:
                mapped.seek(self.offset)
                return mapped.read_buffer(self.size)
        except FileNotFoundError:
            raise MessageGone("The body of the message was deleted: it was released, or its job is closed.") from None


@dataclass(frozen=True)
class Message:
    """One message that waits to be read."""

    key: str
    frm: str
    sealed: bool
    sha256: str
    place: Place


@dataclass(frozen=True)
class Outgoing:
    """One envelope that waits to be delivered."""

    sequence: int
    envelope: Envelope
    place: Place


class Mailbox(Protocol):
    """See the module's promises."""

    def open_job(self, contract: JobContract) -> None:
        """Take messages of this job from now on; again with the same contract is no change. Raises JobClosed."""

    def close_job(self, job: str) -> JobTraffic:
        """Delete the job's messages and take no more; again is no change."""

    def jobs(self) -> list[str]:
        """The open jobs."""

    def contract(self, job: str) -> JobContract:
        """The contract of an open job. Raises JobNotOpen or JobClosed."""

    def spool(self, name: str = "") -> Spool:
        """A new body; with a name, what an earlier try left under that name comes first."""

    def spooled(self, name: str) -> int:
        """How many bytes an earlier try left under the name."""

    def forget_spool(self, name: str) -> None:
        """Delete what an earlier try left under the name."""

    def half_bodies(self) -> list[str]:
        """The names of what earlier tries left, the oldest first."""

    def taken(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that were sent from here before."""

    def put_out(self, envelope: Envelope, body: Body, peer: str | None, bill: Bill = NOTHING) -> bool:
        """Queue for a peer, or, with None, put it straight into our own inbox. Raises BudgetSpent, KeyChanged."""

    def held(self, envelope: Envelope) -> bool:
        """Whether all its messages came before. Raises MessageConflict, JobNotOpen, JobClosed."""

    def put_in(self, envelope: Envelope, body: Body, bill: Bill = NOTHING) -> bool:
        """Keep what a peer sent. Raises BudgetSpent, KeyChanged."""

    def find(self, key: str) -> Message | None:
        """The message, if it is here. Raises MessageGone if it was here and is released."""

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are here and not released; no body is looked at."""

    def release(self, keys: Collection[str]) -> None:
        """Delete bodies; unknown keys are no error."""

    def queued(self, peer: str, *, large: bool, after: int, limit: int) -> list[Outgoing]:
        """Envelopes for a peer in the order in which they were put."""

    def delivered(self, sequences: Sequence[int]) -> None:
        """The peer holds them: delete their bodies."""

    def refused(self, outgoing: Outgoing, error: PlatformError) -> None:
        """The peer will never take it: drop it and remember why for the attempt."""

    def refusal(self, job: str, task: str, attempt: int) -> PlatformError | None:
        """Why a message of the attempt was refused for good, if one was."""

    def backlog(self) -> dict[str, int]:
        """Envelopes waiting, by peer."""

    def record_call(self, peer: str, method: str, size: int, sha256: str, *, inward: bool) -> None:
        """Put a Flow-to-Flow call into the ledger."""

    def record_refused(self, attempted: Entry, code: str) -> None:
        """Put into the ledger what was refused, with the time of now."""

    def first_call(self, peer: str, call: str, until_ms: int) -> bool:
        """Remember the id of a peer's call until then (ms since 1970), across restarts; False if it is known."""

    def traffic(self, job: str) -> JobTraffic:
        """What the ledger says about a job."""

    def close(self) -> None:
        """Let go of files."""
