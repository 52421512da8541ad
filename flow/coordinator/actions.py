"""Run the errands of a plan, and decide what an error of a call means.

A party that cannot be reached is noted as absent, so that people see what the job waits for, and asked again with
growing pauses; any other error of a call is final and ends the attempt or the job with that error. The end of a job is
told until the party has confirmed it, however long that takes: one end at a time to a party that is absent.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from flow.coordinator.absence import Absence
from flow.coordinator.attempt_calls import AttemptCalls
from flow.coordinator.incoming import withdrawn
from flow.coordinator.party_calls import PartyCalls
from flow.coordinator.plan import End, Errand, Open, Propose, Publish, Reserve, Start, Stop, step
from flow.coordinator.snapshot import Snapshots
from flow.errors import IllegalTransition, Moved, PartyLeft, StartedTooLate
from flow.job.states import ENDED_JOB, JobEvent, JobState
from flow.scheduler import JITTER
from flow.store.database import Database
from flow.store.transitions import cancel_open, move_job, told
from flow.views.jobs import ErrorView
from runtime.errors import PlatformError
from runtime.limits.pauses import doubled_s
from runtime.log import get_logger

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 10.0
LAST_END_PAUSE_S = 60.0  # between two tries to tell a party that a job is over


class Errands:
    """The initiator's calls, with their errors judged."""

    def __init__(
        self, database: Database, snapshots: Snapshots, absence: Absence, parties: PartyCalls, attempts: AttemptCalls
    ) -> None:
        self._database = database
        self._snapshots = snapshots
        self._absence = absence
        self._parties = parties
        self._attempts = attempts
        self._tries: dict[Errand, int] = {}
        self._ending: dict[str, Lock] = {}  # by party
        self._log = get_logger("flow")

    def run(self, errand: Errand, done: Callable[[str], None]) -> float | None:
        """One errand; `done` is told the job. Returns the seconds until it should be tried again, or None."""
        tries = self._tries.get(errand, 0)
        if tries and not self._wanted(errand):
            self._tries.pop(errand, None)
            return None
        again = self._in_turn(errand, tries)
        if again is None:
            self._tries.pop(errand, None)
        else:
            self._tries[errand] = tries + 1
        done(errand.job)
        return again

    def _wanted(self, errand: Errand) -> bool:
        return errand in step(self._snapshots.take(errand.job).facts)

    def _in_turn(self, errand: Errand, tries: int) -> float | None:
        """So that a party that takes calls and never answers holds one thread of ours, however many jobs it had."""
        if not isinstance(errand, End) or not self._absence.has(errand.job, errand.party):
            return self._judged(errand, tries)
        turn = self._ending.setdefault(errand.party, Lock())
        if not turn.acquire(blocking=False):
            return _pause_s(errand, tries)
        try:
            return self._judged(errand, tries)
        finally:
            turn.release()

    def _judged(self, errand: Errand, tries: int) -> float | None:
        pause = _pause_s(errand, tries)
        try:
            return self._carry_out(errand)
        except (Moved, IllegalTransition):
            return pause  # somebody else was first, here or there; perhaps it is no longer wanted
        except PlatformError as error:
            if error.retry:
                if not isinstance(errand, Reserve):
                    self._absence.note(errand.job, errand.party, error)
                return pause
            refusal = error
        self._log.warning("errand.refused", work=repr(errand), code=refusal.code, message=refusal.message)
        try:
            if refusal.code == PartyLeft.code:
                self._fail_job(
                    errand.job,
                    withdrawn(refusal.message, "" if isinstance(errand, Reserve) else errand.party),
                    JobEvent.STOPPED,
                )
            else:
                self._give_up(errand, refusal)
        except (Moved, IllegalTransition):
            return pause
        return None

    def _carry_out(self, errand: Errand) -> float | None:
        match errand:
            case Propose():
                self._parties.propose(errand)
            case Open():
                self._parties.open(errand)
            case Reserve():
                return self._attempts.reserve(errand)
            case Start():
                self._attempts.start(errand)
            case Stop():
                self._attempts.stop(errand)
            case Publish():
                self._attempts.publish(errand)
            case End():
                self._parties.end(errand)
        return None

    def _give_up(self, errand: Errand, error: PlatformError) -> None:
        """An error that waiting does not mend."""
        match errand:
            case Reserve():
                self._attempts.give_up(errand, told(error), counted=True)
            case Start():
                counted = error.code != StartedTooLate.code
                self._attempts.give_up(errand, told(error, errand.party), counted=counted)
            case Stop():
                self._attempts.note_stopped(errand)
            case End():
                self._parties.give_up_end(errand)
            case Propose():
                message = f"{errand.party} cannot be asked: {error.message}"
                self._fail_job(errand.job, ErrorView(
                    code=error.code, message=message, hint=error.hint, party=errand.party
                ))  # fmt: skip
            case Open() | Publish():
                self._fail_job(errand.job, told(error, errand.party))

    def _fail_job(self, name: str, error: ErrorView, how: JobEvent = JobEvent.FAILED) -> None:
        with self._database.write() as writer:
            state = JobState(writer.rows(name).job.state)
            if state not in ENDED_JOB:
                move_job(writer, name, state, how, error)
                cancel_open(writer, name)


def _pause_s(errand: Errand, tries: int) -> float:
    last = LAST_END_PAUSE_S if isinstance(errand, End) else LAST_PAUSE_S
    return doubled_s(FIRST_PAUSE_S, tries, last) * JITTER.uniform(0.5, 1.0)
