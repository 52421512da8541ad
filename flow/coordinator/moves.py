"""Carry out the moves of a plan: each is one transaction on the initiator's store."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select, update

from flow.bindings import BoundTask
from flow.coordinator.facts import Catalogue, answers_of, manifest_of
from flow.errors import ApiMismatch, CheckpointPastEnd
from flow.job_state import AttemptEvent, AttemptState, JobEvent, JobState
from flow.manifest import make_manifest, require_common_api
from flow.plan import Agree, EndAttempt, Finish, JobFacts, MarkClosed, Move, OpenAttempt, Refuse
from flow.resuming import require_in_reach, resume_point
from flow.store.database import Writer
from flow.store.moves import (
    Side,
    attempt_key,
    cancel_open,
    error_columns,
    move_attempt,
    move_job,
    move_side,
    new_attempt,
    told,
)
from flow.store.tables import attempt, job, side
from party.ids import Address, AttemptId, JobId, TaskName

_HOW = {
    AttemptState.SUCCEEDED: AttemptEvent.SUCCEEDED,
    AttemptState.FAILED: AttemptEvent.FAILED,
    AttemptState.LOST: AttemptEvent.LOST,
    AttemptState.CANCELLED: AttemptEvent.CANCELLED,
}
_WAY = {
    AttemptState.RESERVED: (AttemptEvent.RESERVED,),
    AttemptState.RUNNING: (AttemptEvent.RESERVED, AttemptEvent.STARTED),
    **{state: (AttemptEvent.RESERVED, AttemptEvent.STARTED, event) for state, event in _HOW.items()},
}
_PASSED = {AttemptState.PENDING: 0, AttemptState.RESERVED: 1, AttemptState.RUNNING: 2}


def carry_out(writer: Writer, facts: JobFacts, move: Move, catalogue: Catalogue) -> None:
    """One move. Raises Moved where somebody else was first; then the job is planned anew."""
    match move:
        case Agree():
            _agree(writer, facts, catalogue)
        case Refuse():
            move_job(writer, facts.job, facts.state, JobEvent.REFUSED, move.error)
        case OpenAttempt():
            known = catalogue.of_job(writer.connection, facts.job)
            name = AttemptId(JobId(facts.job), TaskName(move.task), move.attempt)
            new_attempt(writer, name, known.tasks[move.task].addresses)
            if known.spec.settings.resume is not None:
                _tell_resume(writer, name, known.tasks[move.task])
        case EndAttempt():
            name = AttemptId(JobId(facts.job), TaskName(move.task), move.attempt)
            extra = {**error_columns(move.error), "retryable": move.retryable}
            move_attempt(writer, name, move.seen, _HOW[move.state], **extra)
        case Finish():
            how = JobEvent.SUCCEEDED if move.state is JobState.SUCCEEDED else JobEvent.FAILED
            move_job(writer, facts.job, facts.state, how, move.error)
            cancel_open(writer, facts.job)
        case MarkClosed():
            writer.run(update(job).where(job.c.id == facts.job).values(closed=True))
            writer.event("job.closed", facts.job)


def bring(
    name: Side, seen: AttemptState, target: AttemptState, move: Callable[..., AttemptState], **last: object
) -> bool:
    """Walk a row from the state seen to the target over every state between; False if it is there or has ended."""
    way = _way(seen, target)
    for position, event in enumerate(way):
        seen = move(name, seen, event, **(last if position == len(way) - 1 else {}))
    return bool(way)


def can_bring(seen: AttemptState, target: AttemptState) -> bool:
    """Whether a row in the state seen would move if it were brought to the target."""
    return bool(_way(seen, target))


def _way(seen: AttemptState, target: AttemptState) -> tuple[AttemptEvent, ...]:
    if seen not in _PASSED or seen is target:
        return ()
    return (AttemptEvent.CANCELLED,) if target is AttemptState.CANCELLED else _WAY[target][_PASSED[seen] :]


def bring_side(writer: Writer, name: Side, target: AttemptState, **last: object) -> bool:
    """Bring what the initiator knows of a side up to the target."""
    seen = _side_state(writer, name)
    if seen is None:
        return False
    return bring(name, seen, target, lambda *a, **k: move_side(writer, *a, **k), **last)


def note_running(writer: Writer, name: AttemptId) -> None:
    """The first side runs: so does the attempt, and with the first attempt the job."""
    where = [attempt.c[key] == value for key, value in attempt_key(name).items()]
    seen = writer.run(select(attempt.c.state).where(*where)).scalar_one_or_none()
    if seen == AttemptState.RESERVED:
        move_attempt(writer, name, AttemptState.RESERVED, AttemptEvent.STARTED)
    state = writer.run(select(job.c.state).where(job.c.id == name.job)).scalar_one()
    if state == JobState.AGREED:
        move_job(writer, name.job, JobState.AGREED, JobEvent.STARTED)


def side_name(job_id: str, task: str, number: int, address: str) -> Side:
    """The name of a side from the parts of a message. Raises InvalidName."""
    return Side(AttemptId(JobId(job_id), TaskName(task), number), Address.parse(address))


def _side_state(writer: Writer, name: Side) -> AttemptState | None:
    where = [side.c[key] == value for key, value in name.key().items()]
    found = writer.run(select(side.c.state).where(*where)).scalar_one_or_none()
    return None if found is None else AttemptState(found)


def _tell_resume(writer: Writer, name: AttemptId, task: BoundTask) -> None:
    """Tell from where an attempt goes on; an empty body: it starts afresh."""
    point = resume_point(manifest_of(writer.connection, name.job), task)
    body = point.model_dump() if point is not None else {}
    writer.event("task.resumes", name.job, place=(name.task, name.attempt, ""), body=body)


def _agree(writer: Writer, facts: JobFacts, catalogue: Catalogue) -> None:
    known = catalogue.of_job(writer.connection, facts.job)
    proposal = known.proposal
    manifest = make_manifest(proposal, answers_of(writer.connection, facts.job))
    try:
        require_common_api(manifest.speaks)
        require_in_reach(manifest, known.tasks)
    except (ApiMismatch, CheckpointPastEnd) as error:
        move_job(writer, facts.job, facts.state, JobEvent.REFUSED, told(error, proposal.initiator))
        return
    text = manifest.model_dump_json(by_alias=True)
    writer.run(update(job).where(job.c.id == facts.job).values(manifest=text, manifest_digest=manifest.digest))
    move_job(writer, facts.job, facts.state, JobEvent.AGREED)
