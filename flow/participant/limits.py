"""Whether a job of another party has had its time here, and how sure we may be of that. Pure.

What passed before this start is known by the wall clock alone, and a wall clock may be wrong for a while. Leaving a job
cannot be taken back, so a limit that is over by that clock only is confirmed: by another party's clock, or by running
on for a while. What we have measured ourselves since the start needs nobody's word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flow.job_spec import JobSettings
from gateway.client import ClocksDiffer, PeerStatus
from party.clock import when

CONFIRM_S = 300.0  # of running on, where no other party can be asked the time
LOOK_AGAIN_S = 30.0
_DOUBTFUL = {"not-valid"}  # states of links that may come from a clock of ours that is wrong


@dataclass(frozen=True)
class Passed:
    """How long a job has been here.

    Attributes:
        ran_s: While our executors told news.
        watched_s: Since this start, by the monotonic clock.
        before_s: Before this start, by the wall clock.
    """

    ran_s: float
    watched_s: float
    before_s: float


@dataclass(frozen=True)
class Witnesses:
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
class Over:
    """The job has had its time: why, as a part of a sentence."""

    said: str


@dataclass(frozen=True)
class Wait:
    """It has not, or that is not sure yet, as `doubt` says: how long until it is to be looked at again."""

    seconds: float
    doubt: str = ""


def witnesses(now_ms: int, own_problem: str, peers: Iterable[PeerStatus]) -> Witnesses:
    """What the links to the trusted parties say about our clock."""
    agree, differ = [], []
    for peer in peers:
        if peer.code == ClocksDiffer.code or peer.state in _DOUBTFUL:
            differ.append(peer.party)
        elif peer.state == "up":
            agree.append(peer.party)
    return Witnesses(now_ms, own_problem, tuple(agree), tuple(differ))


def judge(settings: JobSettings, passed: Passed, grace_s: float) -> Over | Wait | None:
    """What is known without asking anybody; None if the time is over by the wall clock alone."""
    running_s = settings.timeout_s + grace_s - passed.ran_s
    here_s = settings.timeout_s + settings.wait_s + grace_s - passed.watched_s
    if running_s <= 0:
        return Over(f"It ran here for more than its timeout_s of {settings.timeout_s:g} s")
    if here_s <= 0:
        return Over(_over(settings))
    left_s = here_s - passed.before_s
    return Wait(min(left_s, running_s)) if left_s > 0 else None


def confirm(settings: JobSettings, passed: Passed, clock: Witnesses) -> Over | Wait:
    """Whether a time that is over by the wall clock alone is over."""
    unsure = doubt(clock, passed.watched_s)
    if unsure is not None:
        return unsure
    asked = f" as that of {clock.agree[0]} does" if clock.agree else "; no other party could be asked"
    return Over(f"{_over(settings)} by the clock here, which says {when(clock.now_ms)}{asked}")


def doubt(clock: Witnesses, watched_s: float) -> Wait | None:
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


def _over(settings: JobSettings) -> str:
    return f"Its timeout_s and wait_s, {settings.timeout_s + settings.wait_s:g} s together, are over"
