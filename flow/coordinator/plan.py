"""The next things to do for a job that this party leads. Pure: a snapshot in, instructions out.

Two kinds of instruction: a **transition** changes the database at once (at most one a step, because everything after it
must be planned anew), an **action** is a call to other parties that may take long, may fail for now, and may be
repeated without harm. The same action is given again with every step until the snapshot shows that it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flow.errors import TimedOut
from flow.job.states import ENDED_JOB, AttemptState, JobState, most_attempts
from flow.protocol.messages import Decision
from flow.views.jobs import ErrorView
from node_manager.client import ResumePoint
from runtime.limits.pauses import doubled_s

FIRST_REST_S, LAST_REST_S = 0.5, 60.0  # between an attempt that came no further and the next


# -- the snapshot -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PartySnapshot:
    """What one party said and did about the job."""

    party: str
    decision: str = ""
    reasons: tuple[str, ...] = ()
    opened: bool = False
    closed: bool = False
    absent: bool = False
    pause_due: bool = False  # it has not confirmed yet that the job is paused, or goes on


@dataclass(frozen=True)
class SideSnapshot:
    """One address's side of an attempt."""

    address: str
    party: str
    state: AttemptState = AttemptState.PENDING
    stopped: bool = False
    published: bool = False
    retryable: bool = False
    error: ErrorView | None = None


@dataclass(frozen=True)
class AttemptSnapshot:
    """The last attempt of a task.

    Attributes:
        tries: How many before it used up a retry.
        rested_s: How long ago it was seen to have ended.
        left: Once every side is stopped, the step that all of them still have of this job.
        further: Whether that is a later one than it began with.
    """

    task: str
    attempt: int
    state: AttemptState
    counted: bool = True
    tries: int = 0
    retryable: bool = False
    error: ErrorView | None = None
    sides: tuple[SideSnapshot, ...] = ()
    rested_s: float = 0
    left: ResumePoint | None = None
    further: bool = False

    def parties(self, *states: AttemptState) -> tuple[str, ...]:
        """The parties with a side in one of the states, in id order."""
        return tuple(sorted({side.party for side in self.sides if side.state in states}))


@dataclass(frozen=True)
class JobSnapshot:
    """A job at one moment.

    Attributes:
        needs: The DAG: the tasks that a task needs.
        phase: Against which limit its time has counted: `running` or `waiting`.
        ran_s, waited_s: What counts against each, the time since then included.
        waits: What it waits for, in words.
        stalled: Whether executors wait for something that is known, and have told nothing for long.
    """

    job: str
    state: JobState
    parties: tuple[PartySnapshot, ...]
    needs: Mapping[str, frozenset[str]]
    attempts: Mapping[str, AttemptSnapshot] = field(default_factory=dict)
    retries: int = 0
    timeout_s: float = 3600
    wait_s: float = 604_800
    phase: str = "waiting"
    ran_s: float = 0
    waited_s: float = 0
    waits: tuple[str, ...] = ()
    stalled: bool = False
    closed: bool = False


# -- transitions -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Agree:
    """Every answer is yes: make the manifest."""


@dataclass(frozen=True)
class Refuse:
    """One party said no."""

    error: ErrorView


@dataclass(frozen=True)
class OpenAttempt:
    """Write a new attempt that wants room; if the one before it came further, that one used up no retry."""

    task: str
    attempt: int
    goes_on: ResumePoint | None = None
    came_further: bool = False


@dataclass(frozen=True)
class EndAttempt:
    """Every side, or the first bad one, decides how the attempt ended."""

    task: str
    attempt: int
    seen: AttemptState
    state: AttemptState
    retryable: bool = False
    error: ErrorView | None = None


@dataclass(frozen=True)
class Finish:
    """The job is over."""

    state: JobState
    error: ErrorView | None = None


@dataclass(frozen=True)
class MarkClosed:
    """Every party has cleaned up."""


# -- actions ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Propose:
    """Ask a party."""

    job: str
    party: str


@dataclass(frozen=True)
class Open:
    """Send a party the manifest."""

    job: str
    party: str


@dataclass(frozen=True)
class TellPause:
    """Tell a party that the job is paused, or that it goes on."""

    job: str
    party: str


@dataclass(frozen=True)
class Reserve:
    """Get room at every party of an attempt, all or nothing."""

    job: str
    task: str
    attempt: int


@dataclass(frozen=True)
class Start:
    """Start a party's sides of an attempt."""

    job: str
    task: str
    attempt: int
    party: str


@dataclass(frozen=True)
class Stop:
    """Stop a party's sides of an attempt that ended badly."""

    job: str
    task: str
    attempt: int
    party: str


@dataclass(frozen=True)
class Publish:
    """Make a party's outputs of a task visible."""

    job: str
    task: str
    attempt: int
    party: str


@dataclass(frozen=True)
class End:
    """Tell a party that the job is over."""

    job: str
    party: str


@dataclass(frozen=True)
class Wake:
    """Look again after so many seconds at the latest."""

    seconds: float


Transition = Agree | Refuse | OpenAttempt | EndAttempt | Finish | MarkClosed
Action = Propose | Open | TellPause | Reserve | Start | Stop | Publish | End
Instruction = Transition | Action | Wake

_BAD = (AttemptState.FAILED, AttemptState.LOST)


def step(job: JobSnapshot) -> list[Instruction]:
    """What to do next: one transition, or any number of actions and the time until a limit is reached."""
    if job.state in ENDED_JOB:
        return _close(job)
    late = _too_late(job)
    if late is not None:
        return [Finish(JobState.FAILED, late)]
    if job.state is JobState.WAITING:
        return _ask(job)
    untold = [TellPause(job.job, party.party) for party in job.parties if party.pause_due]
    if untold or job.state is JobState.PAUSED:  # nothing starts before all know that it goes on
        return [*untold, *_watch(job)]
    missing = [Open(job.job, p.party) for p in job.parties if not p.opened]
    if missing:
        return [*missing, *_watch(job)]
    return _run(job)


def phase_now(job: JobSnapshot) -> str:
    """`running` while something runs, no party is absent and nothing is stalled, else `waiting`.

    That is the limit that time counts against.
    """
    runs = any(attempt.state is AttemptState.RUNNING for attempt in job.attempts.values())
    held_up = job.stalled or any(party.absent for party in job.parties)
    return "running" if runs and not held_up else "waiting"


def _ask(job: JobSnapshot) -> list[Instruction]:
    for party in job.parties:
        if party.decision == Decision.REFUSE:
            reasons = " ".join(party.reasons) or "No reason was given."
            return [
                Refuse(
                    ErrorView(
                        code="flow.job_refused",
                        message=f"{party.party} refuses: {reasons}",
                        party=party.party,
                        hint="Change the job or talk to that party, then submit it anew.",
                    )
                )
            ]
    if all(party.decision == Decision.AGREE for party in job.parties):
        return [Agree()]
    return [*(Propose(job.job, p.party) for p in job.parties if not p.decision), *_watch(job)]


def _run(job: JobSnapshot) -> list[Instruction]:
    actions: list[Instruction] = []
    done = 0
    for task, needs in job.needs.items():
        attempt = job.attempts.get(task)
        if attempt is None:
            if all(_published(job.attempts.get(before)) for before in needs):
                return [OpenAttempt(task, 1)]
            continue
        if _published(attempt):
            done += 1
            continue
        for instruction in _drive(job, attempt):
            if isinstance(instruction, Transition):
                return [instruction]
            actions.append(instruction)
    if done == len(job.needs):
        return [Finish(JobState.SUCCEEDED)]
    return [*actions, *_watch(job)]


def _drive(job: JobSnapshot, attempt: AttemptSnapshot) -> Iterator[Instruction]:
    """What one attempt needs. A transition comes first if there is one."""
    name = (job.job, attempt.task, attempt.attempt)
    if attempt.state is AttemptState.PENDING:
        yield from _end_if_bad(attempt)
        yield Reserve(*name)
    elif attempt.state in (AttemptState.RESERVED, AttemptState.RUNNING):
        yield from _follow(job, attempt)
    elif attempt.state is AttemptState.SUCCEEDED:
        yield from (Publish(*name, p) for p in sorted({s.party for s in attempt.sides if not s.published}))
    else:
        yield from _again(job, attempt)


def _follow(job: JobSnapshot, attempt: AttemptSnapshot) -> Iterator[Instruction]:
    """An attempt that has room: start what is not started, see whether it has ended."""
    yield from _end_if_bad(attempt)
    if attempt.state is AttemptState.RUNNING and all(s.state is AttemptState.SUCCEEDED for s in attempt.sides):
        yield EndAttempt(attempt.task, attempt.attempt, attempt.state, AttemptState.SUCCEEDED)
    for party in attempt.parties(AttemptState.RESERVED):
        yield Start(job.job, attempt.task, attempt.attempt, party)


def _end_if_bad(attempt: AttemptSnapshot) -> Iterator[Instruction]:
    """The end of an attempt of which a side ended badly, by the side that says most."""
    bad = [side for side in attempt.sides if side.state in (*_BAD, AttemptState.CANCELLED)]
    if bad:
        first = next((side for side in bad if side.state is AttemptState.FAILED and not side.retryable), bad[0])
        yield EndAttempt(attempt.task, attempt.attempt, attempt.state, first.state, first.retryable, first.error)


def _again(job: JobSnapshot, attempt: AttemptSnapshot) -> Iterator[Instruction]:
    """An attempt that ended badly: stop what is left of it, then try again after a rest, or give up."""
    retry = (attempt.retryable or not attempt.counted) and attempt.attempt < most_attempts(job.retries)
    if not retry:
        yield Finish(JobState.FAILED, attempt.error)
        return
    if going := sorted({side.party for side in attempt.sides if not side.stopped}):
        yield from (Stop(job.job, attempt.task, attempt.attempt, party) for party in going)
        return
    counted = attempt.counted and not attempt.further
    rest_s = doubled_s(FIRST_REST_S, attempt.tries, LAST_REST_S) - attempt.rested_s if counted else 0.0
    if counted and attempt.tries >= job.retries:
        yield Finish(JobState.FAILED, attempt.error)
    elif rest_s > 0:
        yield Wake(rest_s)
    else:
        yield OpenAttempt(attempt.task, attempt.attempt + 1, attempt.left, attempt.further)


def _close(job: JobSnapshot) -> list[Instruction]:
    if job.closed:
        return []
    open_ones = [End(job.job, party.party) for party in job.parties if not party.closed]
    return list(open_ones) or [MarkClosed()]


def _published(attempt: AttemptSnapshot | None) -> bool:
    if attempt is None or attempt.state is not AttemptState.SUCCEEDED:
        return False
    return all(side.published for side in attempt.sides)


def _too_late(job: JobSnapshot) -> ErrorView | None:
    if job.ran_s >= job.timeout_s:
        return ErrorView(
            code=TimedOut.code,
            message=f"The job ran for {job.timeout_s:g} s, which is its timeout_s.",
            hint="Raise settings.timeout_s, or make the job smaller.",
        )
    if job.waited_s >= job.wait_s:
        return ErrorView(
            code=TimedOut.code,
            message=f"The job waited for {job.wait_s:g} s, which is its wait_s{_last_waits(job)}.",
            hint="Mend that, or raise settings.wait_s to wait longer.",
        )
    return None


def _last_waits(job: JobSnapshot) -> str:
    silent = [party.party for party in job.parties if not party.decision]
    waits = job.waits or ((f"the answer of {', '.join(silent)}",) if silent else ())
    return f"; at last for {'; and for '.join(text.rstrip('.') for text in waits)}" if waits else ""


def _watch(job: JobSnapshot) -> list[Instruction]:
    left = job.timeout_s - job.ran_s if phase_now(job) == "running" else job.wait_s - job.waited_s
    return [Wake(max(left, 0.0))]
