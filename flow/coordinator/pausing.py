"""A job that we lead is paused by a person, and goes on: what is written down at once, before any party is told.

Paused attempts want room once more, all or nothing, as at their first start, and go on in it under the same number. So
two jobs that go on at the same time do not wait for each other, and what a party parked is started by the same order.
"""

from __future__ import annotations

from flow.errors import NotPausable
from flow.job.states import AttemptEvent, AttemptState, JobEvent, JobState
from flow.store.tables import attempt, job_party, side
from flow.store.transitions import move_attempt, move_each, move_job
from flow.store.writer import Writer
from party.ids import AttemptId, JobId, TaskName

_PARKED = {AttemptState.RESERVED: AttemptEvent.GIVEN_BACK, AttemptState.RUNNING: AttemptEvent.PAUSED}


def pause_job(writer: Writer, job_id: str) -> None:
    """Pause a job; one that is paused stays so. Raises NotPausable."""
    rows = writer.rows(job_id)
    if rows.job.state == JobState.PAUSED:
        return
    if rows.job.state != JobState.RUNNING:
        raise NotPausable(f"Job {job_id} is {rows.job.state}; only one that runs can be paused.")
    move_job(writer, job_id, JobState.RUNNING, JobEvent.PAUSED, paused_ms=writer.now_ms)
    for row in rows.of(attempt):
        if row.state in _PARKED:
            _park(writer, AttemptId(JobId(job_id), TaskName(row.task), row.attempt), AttemptState(row.state))
    _tell_all(writer, job_id)


def continue_job(writer: Writer, job_id: str) -> None:
    """Let a job go on; one that runs stays so. Raises NotPausable."""
    state = writer.rows(job_id).job.state
    if state == JobState.RUNNING:
        return
    if state != JobState.PAUSED:
        raise NotPausable(f"Job {job_id} is {state}; only one that is paused can go on.", hint=_instead(state, job_id))
    move_job(writer, job_id, JobState.PAUSED, JobEvent.RESUMED, paused_ms=None)
    _tell_all(writer, job_id)


def _park(writer: Writer, attempt_id: AttemptId, seen: AttemptState) -> None:
    move_attempt(writer, attempt_id, seen, _PARKED[seen])
    sides = writer.rows(attempt_id.job).of(side, attempt_id.task, attempt_id.attempt)
    for state, what in _PARKED.items():
        if addresses := [row.address for row in sides if row.state == state]:
            move_each(writer, side, attempt_id, addresses, state, [what])


def _tell_all(writer: Writer, job_id: str) -> None:
    parties = [(row.party,) for row in writer.rows(job_id).of(job_party)]
    writer.change(job_party, job_id, parties, {"pause_due": True})


def _instead(state: str, job_id: str) -> str:
    over = state in (JobState.FAILED, JobState.CANCELLED)
    return f"'flow job resume {job_id}' goes on from its checkpoints, as a new job." if over else ""
