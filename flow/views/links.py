"""How the lines to other parties stand, in sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flow.views.times import clock_text
from gateway.peer_status import PeerStatus
from runtime.clock import Apart, apart_text, span

MOST_SILENT_MS = 60_000  # a party that only calls out greets every few seconds


@dataclass(frozen=True)
class Postponed:
    """Why an initiator took nothing of us when it was tried last, since when, and the pause until the next try."""

    why: str
    since_ms: int
    pause_s: float


@dataclass(frozen=True)
class Links:
    """What our party knows of its lines to others.

    Attributes:
        party: Ours.
        now_ms: By our clock, milliseconds since 1970.
        peers: Whom we trust, by name; None while our own gateway does not answer.
        down: Why that does not answer.
        clocks: Those that were too far from ours in their parties' last messages.
    """

    party: str
    now_ms: int
    peers: Mapping[str, PeerStatus] | None = field(default_factory=dict)
    down: str = ""
    clocks: Mapping[str, Apart] = field(default_factory=dict)

    def away(self, party: str) -> str:
        """What is wrong with the line to a party, and since when; empty if nothing is."""
        if self.peers is None or party == self.party:
            return ""
        peer = self.peers.get(party)
        if peer is None:
            return f"{party} is not trusted here: get its newest card and run 'flow party trust CARD'."
        seen_ms = round(peer.last_seen_s * 1000)
        if peer.state == "up":
            return ""
        if peer.state == "no-address":
            silent_ms = self.now_ms - seen_ms
            if seen_ms and silent_ms <= MOST_SILENT_MS:
                return ""
            silent = f" for {span(silent_ms)}" if seen_ms else ""
            return f"{party}, which only calls out, has not called{silent}. {last_heard_text(seen_ms)}"
        why = f": {peer.problem.rstrip('.')}" if peer.problem else ""
        return f"The link to {party} is {peer.state}{why}. {last_heard_text(seen_ms)} {peer.remedy}".rstrip()

    def clock(self, party: str) -> str:
        """What is wrong with a party's clock, as far as is known; empty if nothing is."""
        peer = (self.peers or {}).get(party)
        return clock_problem(peer, self.clocks.get(party)) if peer is not None else ""

    def gateway(self) -> Iterator[str]:
        """What is wrong with our own gateway."""
        if self.peers is None:
            yield f"Our own gateway does not answer: {self.down}"


def clock_problem(peer: PeerStatus, apart: Apart | None) -> str:
    """What is wrong with a peer's clock: of a peer that is up the gateway knows it, of another its last message told.

    Empty if nothing is, or nothing is known.
    """
    if peer.state == "up":
        return peer.problem  # that is all that a gateway says of a peer that is up
    return apart_text(peer.party, apart.ahead_ms, apart.seen_ms) if apart is not None else ""


def last_heard_text(seen_ms: int | None) -> str:
    """Since when a party is not up, as far as our gateway knows."""
    if not seen_ms:
        return "Not heard of since our gateway started."
    return f"Last heard of: {clock_text(seen_ms)}."
