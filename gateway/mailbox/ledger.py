"""The ledger: one entry for everything that left or entered this party, each chained to the one before by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from gateway.envelope import Envelope
from runtime.canonical import canonical_json

LEDGER_SCHEMA = 1
START = "0" * 64  # what the first entry is chained to
REFUSED = "refused "  # begins what was refused; no name in a conversation or of a method has a space


@dataclass(frozen=True)
class Entry:
    """One message or call. `inward` tells the direction; `what` names the conversation or the call's method.

    What was refused is an entry too: `what` begins with `refused CODE `, and no byte of it was kept or left.
    """

    at_ms: int
    inward: bool
    peer: str
    job: str
    what: str
    messages: int
    size: int
    sha256: str

    def chained(self, before: str) -> str:
        """The hash of this entry after the one whose hash is `before`."""
        return sha256(before.encode() + canonical_json({"schema": LEDGER_SCHEMA, **vars(self)})).hexdigest()


@dataclass(frozen=True)
class PeerTraffic:
    """What left for one party, and what came from it."""

    messages_out: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    bytes_in: int = 0


@dataclass(frozen=True)
class JobTraffic:
    """The traffic of a job by party."""

    job: str
    peers: Mapping[str, PeerTraffic] = field(default_factory=dict)


def entry_of(envelope: Envelope, at_ms: int, *, inward: bool) -> Entry:
    """The entry of an envelope."""
    header = envelope.header
    what = f"{header.task}/{header.attempt}/{header.frm}/{header.to}/{header.tag}"
    peer = header.sender if inward else header.receiver
    return Entry(at_ms, inward, peer, header.job, what, len(header.parts), header.size, header.sha256)


def refused_entry(attempted: Entry, code: str) -> Entry:
    """The entry for what would have been `attempted`."""
    return replace(attempted, what=f"{REFUSED}{code} {attempted.what}".rstrip())


def unbroken(entries: Iterable[tuple[Entry, str]]) -> bool:
    """Whether each entry's recorded hash follows from the one before."""
    before = START
    for entry, recorded in entries:
        before = entry.chained(before)
        if before != recorded:
            return False
    return True


def summed(job: str, entries: Iterable[Entry]) -> JobTraffic:
    """The traffic of a job from its entries; what was refused is none."""
    peers: dict[str, PeerTraffic] = {}
    for entry in entries:
        if entry.what.startswith(REFUSED):
            continue
        seen = peers.get(entry.peer, PeerTraffic())
        out, inn = (0, 1) if entry.inward else (1, 0)
        peers[entry.peer] = PeerTraffic(
            messages_out=seen.messages_out + out * entry.messages,
            bytes_out=seen.bytes_out + out * entry.size,
            messages_in=seen.messages_in + inn * entry.messages,
            bytes_in=seen.bytes_in + inn * entry.size,
        )
    return JobTraffic(job, peers)
