"""What the initiator knows of a job: a snapshot of what is stored of it, and how long it has been in its phase."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flow.coordinator.plan import AttemptSnapshot, JobSnapshot, PartySnapshot, SideSnapshot
from flow.job.states import ENDED_ATTEMPT, AttemptState, JobState
from flow.protocol.messages import Decision, KeptSteps, SignedAnswer
from flow.protocol.resuming import came_further, common_point
from flow.rooms.stalls import Stalls
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows
from flow.store.stored import stored
from flow.store.tables import attempt, job_party, side
from flow.store.transitions import began_with, error_of
from flow.store.waiting import waiting
from flow.views.stalls import stall_waits
from node_manager.client import ResumePoint


@dataclass(frozen=True)
class _Began:
    """When we saw a job in its phase, by the monotonic clock, and how long it had been in it until then.

    Attributes:
        before_s: Known by the wall clock alone where it began before our start; None while that is in doubt.
    """

    at_s: float
    before_s: float | None


class Snapshots:
    """Takes snapshots; measures how long a job has been in its phase by the monotonic clock.

    What of it passed before our start counts from `believe` on; not if the phase ends while our clock is in doubt, and
    not what a clock that is behind at the first look does not know of.
    """

    def __init__(self, database: Database, catalogue: Catalogue, stalls: Stalls) -> None:
        self._stalls = stalls
        self._database = database
        self._catalogue = catalogue
        self._clock = database.clock
        self._started_s = self._clock.monotonic()
        self._began: dict[tuple[str, str, int], _Began] = {}
        self._ended: dict[tuple[str, str, int], float] = {}  # when attempts were first seen to have ended

    def take(self, job_id: str) -> JobSnapshot:
        """A job that we lead, as the store has it now. Raises UnknownJob."""
        return self.of_rows(self._database.rows(job_id))

    def of_rows(self, rows: JobRows) -> JobSnapshot:
        """A job that we lead, by its rows. Raises UnknownJob."""
        known = self._catalogue.of_job(rows)
        row, parties, attempts = rows.job, rows.of(job_party), rows.of(attempt)
        elapsed = self._elapsed_ms(row)
        settings = known.spec.settings
        stalls = self._stalls.of(rows.job_id)
        return JobSnapshot(
            job=rows.job_id,
            state=JobState(row.state),
            parties=tuple(_party(p) for p in parties),
            needs={task: bound.needs for task, bound in known.tasks.items()},
            attempts=self._last_attempts(attempts, rows.of(side)),
            retries=settings.retries,
            timeout_s=settings.timeout_s,
            wait_s=settings.wait_s,
            phase=row.phase,
            ran_s=(row.ran_ms + (elapsed if row.phase == "running" else 0)) / 1000,
            waited_s=(row.waited_ms + (elapsed if row.phase == "waiting" else 0)) / 1000,
            waits=tuple(item.text for item in (*waiting(row, parties, attempts), *stall_waits(stalls, row.initiator))),
            stalled=self._stalls.stalled(rows.job_id),
            closed=bool(row.closed),
        )

    def forget(self, job_id: str) -> None:
        """A job is over."""
        self._forget_phases(job_id)
        for key in [key for key in list(self._ended) if key[0] == job_id]:
            self._ended.pop(key, None)

    def unsure(self, job_id: str) -> bool:
        """Whether a part of the job's time is not counted yet."""
        return any(began.before_s is None for key, began in list(self._began.items()) if key[0] == job_id)

    def believe(self, job_id: str) -> None:
        """Count all of the job's time, as our wall clock has it now."""
        now = self._clock.monotonic()
        for key, began in list(self._began.items()):
            if key[0] == job_id and began.before_s is None:
                self._began[key] = _Began(now, self._since_s(key[2]))

    def _last_attempts(self, attempts: Any, sides: Any) -> dict[str, AttemptSnapshot]:
        by_attempt: dict[tuple[str, int], list[Any]] = {}
        for row in sides:
            by_attempt.setdefault((row.task, row.attempt), []).append(row)
        last = {row.task: row for row in attempts}  # in order of their numbers
        tries = Counter(row.task for row in attempts if row.counted and row is not last[row.task])
        return {
            task: self._last_attempt(row, tries[task], by_attempt.get((task, row.attempt), []))
            for task, row in last.items()
        }

    def _last_attempt(self, row: Any, tries: int, sides: Sequence[Any]) -> AttemptSnapshot:
        ended_badly = row.state in ENDED_ATTEMPT and row.state != AttemptState.SUCCEEDED
        left = _left_by(sides) if ended_badly else None
        return AttemptSnapshot(
            task=row.task,
            attempt=row.attempt,
            state=AttemptState(row.state),
            counted=bool(row.counted),
            tries=tries,
            retryable=bool(row.retryable),
            error=error_of(row),
            sides=tuple(map(_side, sides)),
            rested_s=self._rested_s(row) if ended_badly else 0.0,
            left=left,
            further=came_further(left, began_with(row)),
        )

    def _rested_s(self, row: Any) -> float:
        """Since we first saw that the attempt had ended."""
        now = self._clock.monotonic()
        return now - self._ended.setdefault((row.job, row.task, row.attempt), now)

    def _elapsed_ms(self, row: Any) -> int:
        """Since the phase began."""
        key = (row.id, row.phase, row.phase_since_ms)
        now = self._clock.monotonic()
        began = self._began.get(key)
        if began is None:
            self._forget_phases(row.id)
            before_s = self._since_s(row.phase_since_ms)
            began = self._began[key] = _Began(now, before_s if before_s <= now - self._started_s else None)
        return int((now - began.at_s + (began.before_s or 0.0)) * 1000)

    def _forget_phases(self, job_id: str) -> None:
        for key in [key for key in list(self._began) if key[0] == job_id]:
            self._began.pop(key, None)

    def _since_s(self, since_ms: int) -> float:
        return max(0.0, self._clock.now().timestamp() - since_ms / 1000)


def _party(row: Any) -> PartySnapshot:
    refused = row.decision == Decision.REFUSE
    answer = stored(SignedAnswer, row.job, row.answer).answer if refused and row.answer else None
    return PartySnapshot(
        party=row.party,
        decision=row.decision,
        reasons=answer.reasons if answer else (),
        opened=bool(row.opened),
        closed=bool(row.closed),
        absent=row.absent_ms is not None,
        pause_due=bool(row.pause_due),
    )


def _side(row: Any) -> SideSnapshot:
    return SideSnapshot(
        address=row.address,
        party=row.party,
        state=AttemptState(row.state),
        stopped=bool(row.stopped),
        published=bool(row.published),
        retryable=bool(row.retryable),
        error=error_of(row),
    )


def _left_by(sides: Sequence[Any]) -> ResumePoint | None:
    """The furthest step that all sides of an attempt still have of this job; None until all of them are stopped."""
    if not all(row.stopped for row in sides):
        return None
    kept = (
        KeptSteps(job=row.job, task=row.task, attempt=int(number), address=row.address, steps=tuple(steps))
        for row in sides
        for number, steps in json.loads(row.kept or "{}").items()
    )
    return common_point(kept, [row.address for row in sides])
