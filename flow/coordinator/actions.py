"""Run the actions of a plan, and decide what an error of a call means.

A party that cannot be reached is noted as absent, so that people see what the job waits for, and asked again with
growing pauses; any other error of a call is final and ends the attempt or the job with that error. The end of a job is
told until the party has confirmed it, however long that takes: one end at a time to a party that is absent.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from flow.coordinator.absence import Absence
from flow.coordinator.attempt_calls import AttemptCalls
from flow.coordinator.incoming import forgotten, withdrawn
from flow.coordinator.party_calls import PartyCalls
from flow.coordinator.plan import Action, End, Open, Propose, Publish, Reserve, Start, Stop, TellPause, step
from flow.coordinator.snapshot import Snapshots
from flow.errors import CheckpointGone, IllegalTransition, Moved, PartyLeft, StartedTooLate, UnknownJob
from flow.job.states import JobEvent
from flow.pauses import Pauses
from flow.scheduler import JITTER
from flow.store.database import Database
from flow.store.transitions import end_job, told
from flow.views.jobs import ErrorView
from runtime.errors import PlatformError
from runtime.limits.pauses import doubled_s
from runtime.log import get_logger


class Actions:
    """The initiator's calls, with their errors judged."""

    def __init__(
        self,
        database: Database,
        snapshots: Snapshots,
        absence: Absence,
        parties: PartyCalls,
        attempts: AttemptCalls,
        pauses: Pauses,
    ) -> None:
        self._database = database
        self._snapshots = snapshots
        self._absence = absence
        self._parties = parties
        self._attempts = attempts
        self._pauses = pauses
        self._tries: dict[Action, int] = {}
        self._ending: dict[str, Lock] = {}  # by party
        self._log = get_logger("flow")

    def run(self, action: Action, done: Callable[[str], None]) -> float | None:
        """One action; `done` is told the job. Returns the seconds until it should be tried again, or None."""
        tries = self._tries.get(action, 0)
        if tries and not self._wanted(action):
            self._tries.pop(action, None)
            return None
        again = self._in_turn(action, tries)
        if again is None:
            self._tries.pop(action, None)
        else:
            self._tries[action] = tries + 1
        done(action.job)
        return again

    def _wanted(self, action: Action) -> bool:
        return action in step(self._snapshots.take(action.job))

    def _in_turn(self, action: Action, tries: int) -> float | None:
        """So that a party that takes calls and never answers holds one thread of ours, however many jobs it had."""
        if not isinstance(action, End) or not self._absence.has(action.job, action.party):
            return self._judged(action, tries)
        turn = self._ending.setdefault(action.party, Lock())
        if not turn.acquire(blocking=False):
            return self._pause_s(action, tries)
        try:
            return self._judged(action, tries)
        finally:
            turn.release()

    def _judged(self, action: Action, tries: int) -> float | None:
        pause = self._pause_s(action, tries)
        try:
            return self._carry_out(action)
        except (Moved, IllegalTransition):
            return pause  # somebody else was first, here or there; perhaps it is no longer wanted
        except PlatformError as error:
            if error.retry:
                if not isinstance(action, Reserve):
                    self._absence.note(action.job, action.party, error)
                return pause
            refusal = error
        self._log.warning("action.refused", work=repr(action), code=refusal.code, message=refusal.message)
        try:
            if refusal.code == PartyLeft.code:
                self._fail_job(
                    action.job,
                    withdrawn(refusal.message, "" if isinstance(action, Reserve) else action.party),
                    JobEvent.STOPPED,
                )
            elif refusal.code == UnknownJob.code and isinstance(action, Open | Start | Publish):
                self._fail_job(action.job, forgotten(action.party))
            else:
                self._give_up(action, refusal)
        except (Moved, IllegalTransition):
            return pause
        return None

    def _carry_out(self, action: Action) -> float | None:
        match action:
            case Reserve():
                return self._attempts.reserve(action)
            case Start():
                self._attempts.start(action)
            case Stop():
                self._attempts.stop(action)
            case _:
                self._tell_party(action)
        return None

    def _tell_party(self, action: Propose | Open | TellPause | Publish | End) -> None:
        match action:
            case Propose():
                self._parties.propose(action)
            case Open():
                self._parties.open(action)
            case TellPause():
                self._parties.tell_pause(action)
            case Publish():
                self._parties.publish(action)
            case End():
                self._parties.end(action)

    def _give_up(self, action: Action, error: PlatformError) -> None:
        """An error that waiting does not mend."""
        match action:
            case Reserve():
                self._attempts.give_up(action, told(error), counted=True)
            case Start():
                counted = error.code not in (StartedTooLate.code, CheckpointGone.code)
                self._attempts.give_up(action, told(error, action.party), counted=counted)
            case Stop():
                self._attempts.note_stopped(action)
            case TellPause():  # of an older release, which runs on while the others wait
                self._parties.give_up_pause(action)
            case End():
                self._parties.give_up_end(action)
            case Propose():
                message = f"{action.party} cannot be asked: {error.message}"
                self._fail_job(action.job, ErrorView(
                    code=error.code, message=message, hint=error.hint, party=action.party
                ))  # fmt: skip
            case Open() | Publish():
                self._fail_job(action.job, told(error, action.party))

    def _fail_job(self, job_id: str, error: ErrorView, how: JobEvent = JobEvent.FAILED) -> None:
        with self._database.write() as writer:
            end_job(writer, job_id, how, error)

    def _pause_s(self, action: Action, tries: int) -> float:
        last_s = self._pauses.last_end_s if isinstance(action, End) else self._pauses.last_s
        return doubled_s(self._pauses.first_s, tries, last_s) * JITTER.uniform(0.5, 1.0)
