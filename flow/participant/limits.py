"""Whether a job of another party has had its time here, and how sure we may be of that. Pure.

Leaving a job cannot be taken back, so a limit that is over by the wall clock alone is confirmed by
`flow.rooms.clock_evidence`. What we have measured ourselves since the start needs nobody's word.
"""

from __future__ import annotations

from dataclasses import dataclass

from flow.job.spec import JobSettings
from flow.rooms.clock_evidence import ClockEvidence, Wait, doubt
from runtime.clock import when


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
class Over:
    """The job has had its time: why, as a part of a sentence."""

    said: str


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


def confirm(settings: JobSettings, passed: Passed, clock: ClockEvidence) -> Over | Wait:
    """Whether a time that is over by the wall clock alone is over."""
    unsure = doubt(clock, passed.watched_s)
    if unsure is not None:
        return unsure
    asked = f" as that of {clock.agree[0]} does" if clock.agree else "; no other party could be asked"
    return Over(f"{_over(settings)} by the clock here, which says {when(clock.now_ms)}{asked}")


def _over(settings: JobSettings) -> str:
    return f"Its timeout_s and wait_s, {settings.timeout_s + settings.wait_s:g} s together, are over"
