"""How a peer is doing, for whoever is to know: pure, and a door of its own that is quick to import."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import ClocksDiffer, PeerDistrustsUs, PeerShowsOther, ProtocolMismatch
from party.errors import BadCard
from runtime.errors import PlatformError

_STATES: dict[type[PlatformError], str] = {
    PeerDistrustsUs: "refused",
    PeerShowsOther: "refused",
    ProtocolMismatch: "refused",
    ClocksDiffer: "refused",
    BadCard: "not-valid",
}


@dataclass(frozen=True)
class PeerStatus:
    """How a peer is doing.

    Attributes:
        state: `up`, `down`; `refused` where one side does not take the other's card or version; `not-valid` where its
            card is not valid now; or `no-address` for a party that only calls out.
        last_seen_s: When it last answered or greeted, seconds since 1970; 0 for never.
        queued: Envelopes that wait for it.
        problem: Why it is not up, if that is known, or that its clock is not ours; code: the error's code; remedy: what
            a person can do.
    """

    party: str
    addresses: tuple[str, ...]
    state: str
    last_seen_s: float
    queued: int
    problem: str = ""
    code: str = ""
    remedy: str = ""

    @staticmethod
    def of(
        party: str, addresses: tuple[str, ...], last_seen_s: float, queued: int, error: PlatformError | None
    ) -> PeerStatus:
        """A peer that is not up because of `error`."""
        state = next((state for kind, state in _STATES.items() if isinstance(error, kind)), "down")
        if error is None:
            return PeerStatus(party, addresses, state if addresses else "no-address", last_seen_s, queued)
        return PeerStatus(party, addresses, state, last_seen_s, queued, error.message, error.code, error.hint)
