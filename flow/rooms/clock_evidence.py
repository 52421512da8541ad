"""Whether our wall clock may be believed about the time before this start, by what the other parties say. Pure.

What passed before this start is known by the wall clock alone, and a wall clock may be wrong for a while. What cannot
be taken back (the end of a job, the deletion of a checkpoint) is done by it only when another party's clock agrees, or
after a while of running on where no other party can be asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.client import ClocksDiffer, PeerStatus
from runtime.clock import when

CONFIRM_S = 300.0  # of running on, where no other party can be asked the time
LOOK_AGAIN_S = 30.0
_DOUBTFUL = {"not-valid"}  # states of links that may come from a clock of ours that is wrong


@dataclass(frozen=True)
class ClockEvidence:
    """What speaks for our clock and what against it.

    Attributes:
        now_ms: What it says, milliseconds since 1970.
        own_problem: What is wrong with our own card or gateway; empty if nothing is.
        agree: Parties that answer and whose clocks agree with ours.
        differ: Parties whose clocks do not, or that seem to have no valid card now.
    """

    now_ms: int
    own_problem: str = ""
    agree: tuple[str, ...] = ()
    differ: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wait:
    """It is not time, or that is not sure yet, as `doubt` says: how long until it is to be looked at again."""

    seconds: float
    doubt: str = ""


def evidence(now_ms: int, own_problem: str, peers: Iterable[PeerStatus]) -> ClockEvidence:
    """What the links to the trusted parties say about our clock."""
    agree, differ = [], []
    for peer in peers:
        if peer.code == ClocksDiffer.code or peer.state in _DOUBTFUL:
            differ.append(peer.party)
        elif peer.state == "up":
            agree.append(peer.party)
    return ClockEvidence(now_ms, own_problem, tuple(agree), tuple(differ))


def doubt(clock: ClockEvidence, watched_s: float) -> Wait | None:
    """Why our wall clock is not to be believed about the time before this start yet; None if it is.

    Args:
        clock: What speaks for it and against it.
        watched_s: Since this start, by the monotonic clock.
    """
    if clock.own_problem:
        return Wait(LOOK_AGAIN_S, clock.own_problem)
    if clock.agree:
        return None
    if clock.differ:
        return Wait(LOOK_AGAIN_S, f"The clock here, which says {when(clock.now_ms)}, is not that of {clock.differ[0]}.")
    if watched_s < CONFIRM_S:
        return Wait(min(LOOK_AGAIN_S, CONFIRM_S - watched_s), "No other party tells the time.")
    return None
