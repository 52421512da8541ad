"""The life of a job and of a task attempt: every state, every event, every legal pair.

Rule 1: whatever decides a next state is in this file.
Rule 2: this file does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from flow.errors import IllegalTransition


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"  # accepted here, not yet agreed on by every party
    AGREED = "agreed"  # every party signed; nothing runs yet
    RUNNING = "running"  # at least one attempt was started
    PAUSED = "paused"  # held back by a person; nothing new is started
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class JobEvent(StrEnum):
    """What moves a job."""

    AGREED = "agreed"  # the last missing signature arrived
    REFUSED = "refused"  # one party said no
    STARTED = "started"  # the first attempt started
    PAUSED = "paused"
    RESUMED = "resumed"
    SUCCEEDED = "succeeded"  # every task succeeded and is published
    FAILED = "failed"  # a task cannot succeed, or a time limit passed
    STOPPED = "stopped"  # a person said so


class AttemptState(StrEnum):
    """Where an attempt is, as a whole and at one address."""

    PENDING = "pending"  # wants room
    RESERVED = "reserved"  # has room at every party
    RUNNING = "running"  # was started
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the algorithm or the platform raised an error
    LOST = "lost"  # the process or its host went away
    CANCELLED = "cancelled"


class AttemptEvent(StrEnum):
    """What moves an attempt."""

    RESERVED = "reserved"
    GIVEN_BACK = "given_back"  # its room was returned before it started
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    PAUSED = "paused"  # it was parked: what it had come to is kept, it wants room once more


NEXT_JOB: Mapping[JobState, Mapping[JobEvent, JobState]] = {
    JobState.WAITING: {
        JobEvent.AGREED: JobState.AGREED,
        JobEvent.REFUSED: JobState.REFUSED,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.STOPPED: JobState.CANCELLED,
    },
    JobState.AGREED: {
        JobEvent.STARTED: JobState.RUNNING,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.STOPPED: JobState.CANCELLED,
    },
    JobState.RUNNING: {
        JobEvent.PAUSED: JobState.PAUSED,
        JobEvent.SUCCEEDED: JobState.SUCCEEDED,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.STOPPED: JobState.CANCELLED,
    },
    JobState.PAUSED: {
        JobEvent.RESUMED: JobState.RUNNING,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.STOPPED: JobState.CANCELLED,
    },
    JobState.SUCCEEDED: {},
    JobState.FAILED: {},
    JobState.CANCELLED: {},
    JobState.REFUSED: {},
}

NEXT_ATTEMPT: Mapping[AttemptState, Mapping[AttemptEvent, AttemptState]] = {
    AttemptState.PENDING: {
        AttemptEvent.RESERVED: AttemptState.RESERVED,
        AttemptEvent.FAILED: AttemptState.FAILED,
        AttemptEvent.LOST: AttemptState.LOST,
        AttemptEvent.CANCELLED: AttemptState.CANCELLED,
    },
    AttemptState.RESERVED: {
        AttemptEvent.GIVEN_BACK: AttemptState.PENDING,
        AttemptEvent.STARTED: AttemptState.RUNNING,
        AttemptEvent.FAILED: AttemptState.FAILED,
        AttemptEvent.LOST: AttemptState.LOST,
        AttemptEvent.CANCELLED: AttemptState.CANCELLED,
    },
    AttemptState.RUNNING: {
        AttemptEvent.SUCCEEDED: AttemptState.SUCCEEDED,
        AttemptEvent.FAILED: AttemptState.FAILED,
        AttemptEvent.LOST: AttemptState.LOST,
        AttemptEvent.CANCELLED: AttemptState.CANCELLED,
        AttemptEvent.PAUSED: AttemptState.PENDING,
    },
    AttemptState.SUCCEEDED: {},
    AttemptState.FAILED: {},
    AttemptState.LOST: {},
    AttemptState.CANCELLED: {},
}

ENDED_JOB = frozenset(state for state, arrows in NEXT_JOB.items() if not arrows)
ENDED_ATTEMPT = frozenset(state for state, arrows in NEXT_ATTEMPT.items() if not arrows)

MOST_UNCOUNTED = 20  # attempts of a task that ended before they began

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def job_after(state: JobState, event: JobEvent) -> JobState:
    """The state that follows. Raises IllegalTransition, never guesses."""
    return _after(NEXT_JOB, "job", state, event)


def attempt_after(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """The state that follows. Raises IllegalTransition, never guesses."""
    return _after(NEXT_ATTEMPT, "attempt", state, event)


def most_attempts(retries: int) -> int:
    """How many attempts of a task there may be: those that count, and some that ended before they began."""
    return 1 + retries + MOST_UNCOUNTED


def _after(table: Mapping[S, Mapping[E, S]], what: str, state: S, event: E) -> S:
    try:
        return table[state][event]
    except KeyError:
        raise IllegalTransition(f"A {what} that is {state} cannot meet '{event}'.") from None
