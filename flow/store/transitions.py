"""Every move of a job, attempt, side or executor: a compare-and-swap, and the event row that tells of it.

A move names the state that the caller saw. Raises IllegalTransition for a pair that is not in the table of states,
Moved where somebody else was first; in both cases the transaction is given up by the exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table

from flow.job.states import (
    ENDED_ATTEMPT,
    ENDED_JOB,
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    attempt_after,
    job_after,
)
from flow.store.job_cache import JobRows, key_of
from flow.store.tables import attempt, executor, job, side
from flow.store.writer import Writer
from flow.views.jobs import ErrorView
from node_manager.client import ResumePoint
from party.ids import Address, AttemptId
from runtime.errors import PlatformError, public_sentence

NO_ERROR = {"error_code": "", "error_message": "", "error_hint": "", "error_party": ""}
HOW = {
    AttemptState.SUCCEEDED: AttemptEvent.SUCCEEDED,
    AttemptState.FAILED: AttemptEvent.FAILED,
    AttemptState.LOST: AttemptEvent.LOST,
    AttemptState.CANCELLED: AttemptEvent.CANCELLED,
}
_WAY = {
    AttemptState.RESERVED: (AttemptEvent.RESERVED,),
    AttemptState.RUNNING: (AttemptEvent.RESERVED, AttemptEvent.STARTED),
    **{state: (AttemptEvent.RESERVED, AttemptEvent.STARTED, event) for state, event in HOW.items()},
}
_PASSED = {AttemptState.PENDING: 0, AttemptState.RESERVED: 1, AttemptState.RUNNING: 2}


def error_columns(error: ErrorView | None) -> dict[str, str]:
    """An error as columns."""
    if error is None:
        return dict(NO_ERROR)
    return {
        "error_code": error.code,
        "error_message": error.message,
        "error_hint": error.hint,
        "error_party": error.party,
    }


def error_of(row: object) -> ErrorView | None:
    """The error in a row, if there is one."""
    code = getattr(row, "error_code", "")
    if not code:
        return None
    return ErrorView(
        code=code,
        message=getattr(row, "error_message", ""),
        hint=getattr(row, "error_hint", ""),
        party=getattr(row, "error_party", ""),
    )


def told(error: PlatformError, party: str = "") -> ErrorView:
    """An error that was raised, as it is shown."""
    return ErrorView(code=error.code, message=error.message, hint=error.hint, party=party)


def attempt_key(attempt_id: AttemptId) -> dict[str, object]:
    """The columns that find an attempt."""
    return {"job": attempt_id.job, "task": attempt_id.task, "attempt": attempt_id.attempt}


def move_job(
    writer: Writer, job_id: str, seen: JobState, what: JobEvent, error: ErrorView | None = None, **extra: object
) -> JobState:
    """Move a job; extra columns change with it. One that ends well is complete."""
    new = job_after(seen, what)
    changes: dict[str, object] = {**extra, "state": new}
    if error is not None:
        changes.update(error_columns(error))
    if new is JobState.RUNNING and seen is JobState.AGREED:
        changes["started_ms"] = writer.now_ms
    if new in ENDED_JOB:
        changes["ended_ms"] = writer.now_ms
    if new is JobState.SUCCEEDED:
        changes["outcome"] = "complete"
    writer.change(job, job_id, [()], changes, seen)
    body: dict[str, object] = {"error": error.model_dump()} if error else {}
    writer.event(f"job.{new}", job_id, body=body)
    if new in ENDED_JOB:
        writer.note_end(job_id)
    return new


def end_job(writer: Writer, job_id: str, what: JobEvent, error: ErrorView | None = None) -> None:
    """End a job that we lead, with every attempt and side of it; one that has ended stays as it is."""
    state = JobState(writer.rows(job_id).job.state)
    if state not in ENDED_JOB:
        move_job(writer, job_id, state, what, error)
        cancel_open(writer, job_id)


def mirror_job(writer: Writer, job_id: str, state: JobState, error: ErrorView | None = None, **extra: object) -> None:
    """Take over the state that the leading party announced, with extra columns; an ended job stays as it is.

    The end of one that was never agreed on is no news: another party could make any number of those.
    """
    changes: dict[str, object] = {**extra, "state": state}
    if state in ENDED_JOB:
        changes["ended_ms"] = writer.now_ms
        changes["outcome"] = "complete" if state is JobState.SUCCEEDED else ""
    if error is not None:
        changes.update(error_columns(error))
    row = writer.rows(job_id).job
    if state is JobState.RUNNING and row is not None and row.started_ms is None:
        changes["started_ms"] = writer.now_ms
    if row is not None and row.state not in (*ENDED_JOB, state):
        writer.change(job, job_id, [()], changes, row.state)
        writer.event(f"job.{state}", job_id, body={"error": error.model_dump()} if error else {})
        if state in ENDED_JOB and row.state != JobState.WAITING:
            writer.note_end(job_id)


def new_attempt(writer: Writer, attempt_id: AttemptId, addresses: Iterable[Address]) -> None:
    """Write an attempt that wants room, with a side for each address. Doing it again changes nothing."""
    if _insert_attempt(writer, attempt_id, AttemptState.PENDING):
        pending = {**attempt_key(attempt_id), "state": AttemptState.PENDING}
        sides = [{**pending, "address": str(address), "party": address.party} for address in addresses]
        writer.insert(side, attempt_id.job, sides)


def move_attempt(
    writer: Writer,
    attempt_id: AttemptId,
    seen: AttemptState,
    what: AttemptEvent,
    **changes: object,
) -> AttemptState:
    """Move an attempt as a whole; extra columns change with it."""
    new = attempt_after(seen, what)
    columns = {**_times(writer, new), **changes, "state": new}
    writer.change(attempt, attempt_id.job, [(attempt_id.task, attempt_id.attempt)], columns, seen)
    code = changes.get("error_code")
    writer.event(
        f"attempt.{new}",
        attempt_id.job,
        place=(attempt_id.task, attempt_id.attempt, ""),
        body={"code": code} if code else {},
    )
    return new


def mirror_attempt(writer: Writer, attempt_id: AttemptId, state: AttemptState) -> None:
    """Take over an attempt's state that the leading party announced; an ended attempt stays as it is."""
    key = (attempt_id.task, attempt_id.attempt)
    row = writer.rows(attempt_id.job).one(attempt, *key)
    if row is None:
        _insert_attempt(writer, attempt_id, state)
    elif row.state not in (*ENDED_ATTEMPT, state):
        writer.change(attempt, attempt_id.job, [key], {"state": state, **_times(writer, state)}, row.state)
        writer.event(f"attempt.{state}", attempt_id.job, place=(*key, ""))


def move_each(
    writer: Writer,
    table: Table,
    attempt_id: AttemptId,
    addresses: Sequence[str],
    seen: AttemptState,
    steps: Sequence[AttemptEvent],
    **last: object,
) -> None:
    """Move sides of an attempt, or our executors (`table`), from the state `seen` over several steps at once.

    Each step of each is told by an event. `last` are extra columns, of the last step.
    """
    state = seen
    columns: dict[str, object] = {}
    for what in steps:
        state = attempt_after(state, what)
        columns |= _times(writer, state)
        code = {"code": last["error_code"]} if what is steps[-1] and last.get("error_code") else {}
        for address in addresses:
            place = (attempt_id.task, attempt_id.attempt, address.partition(":")[2])
            writer.event(f"{table.name}.{state}", attempt_id.job, place=place, body={"address": address, **code})
    keys = [(attempt_id.task, attempt_id.attempt, address) for address in addresses]
    writer.change(table, attempt_id.job, keys, {**columns, **last, "state": state}, seen)


def bring(
    writer: Writer, table: Table, attempt_id: AttemptId, addresses: Iterable[str], target: AttemptState, **last: object
) -> list[str]:
    """Walk sides of an attempt, or our executors, over every state between to the target; the addresses that moved.

    Those that are there, that have ended or that are not known stay. `last` are columns of the last step.
    """
    rows = writer.rows(attempt_id.job)
    groups: dict[AttemptState, list[str]] = {}
    for address in addresses:
        row = rows.one(table, attempt_id.task, attempt_id.attempt, address)
        if row is not None and way(AttemptState(row.state), target):
            groups.setdefault(AttemptState(row.state), []).append(address)
    for seen, few in groups.items():
        move_each(writer, table, attempt_id, few, seen, way(seen, target), **last)
    return [address for few in groups.values() for address in few]


def way(seen: AttemptState, target: AttemptState) -> tuple[AttemptEvent, ...]:
    """What leads from a state to a later one; nothing if it is there, or has ended."""
    if seen not in _PASSED or seen is target:
        return ()
    return (AttemptEvent.CANCELLED,) if target is AttemptState.CANCELLED else _WAY[target][_PASSED[seen] :]


def cancel_open(
    writer: Writer, job_id: str, otherwise: Mapping[tuple[str, int], AttemptState] = MappingProxyType({})
) -> None:
    """Cancel every attempt and side of a job that has not ended; the job itself has.

    Args:
        writer: The transaction.
        job_id: The job.
        otherwise: By task and number, attempts that ended in another way where the job is led.
    """
    rows = writer.rows(job_id)
    by_state: dict[AttemptState, list[tuple[str, int]]] = {}
    for row in rows.of(attempt):
        if row.state not in ENDED_ATTEMPT:
            key = (row.task, row.attempt)
            by_state.setdefault(otherwise.get(key, AttemptState.CANCELLED), []).append(key)
    for state, keys in by_state.items():
        writer.change(attempt, job_id, keys, {"state": state, "ended_ms": writer.now_ms})
        for key in keys:
            writer.event(f"attempt.{state}", job_id, place=(*key, ""))
    _cancel(writer, side, [row for row in rows.of(side) if row.state not in ENDED_ATTEMPT])


def cancel_executors(writer: Writer, job_id: str, task: str | None = None, number: int | None = None) -> None:
    """Cancel our executors of a job, or of one of its attempts, that have not ended."""
    which = () if task is None else (task, number)
    rows = [row for row in writer.rows(job_id).of(executor, *which) if row.state not in ENDED_ATTEMPT]
    _cancel(writer, executor, rows)
    for row in rows:
        place = (row.task, row.attempt, row.address.partition(":")[2])
        writer.event("executor.cancelled", job_id, place=place, body={"address": row.address})


def restart_executor(writer: Writer, row: Any, unsaved: int, body: Mapping[str, object]) -> None:
    """The next incarnation of one of our executors is due; its state stays, since the attempt goes on."""
    changes = {"incarnation": row.incarnation + 1, "unsaved": unsaved, "restart_due": True}
    writer.change(executor, row.job, [key_of(executor, row)], changes, row.state)
    place = (row.task, row.attempt, row.address.partition(":")[2])
    said = {"address": row.address, "incarnation": row.incarnation + 1, **body}
    writer.event("executor.restarted", row.job, place=place, body=said)


def began_with(row: Any) -> ResumePoint | None:
    """The checkpoint of an earlier attempt that an attempt goes on from, by its row."""
    if row is None or row.from_attempt is None:
        return None
    return ResumePoint(job=row.job, attempt=row.from_attempt, step=row.from_step)


def put_beginning(writer: Writer, attempt_id: AttemptId, number: int, step: int) -> None:
    """Write down from which step of which attempt an attempt goes on."""
    changes = {"from_attempt": number, "from_step": step}
    writer.change(attempt, attempt_id.job, [(attempt_id.task, attempt_id.attempt)], changes)
    body = {"job": attempt_id.job, "attempt": number, "step": step}
    writer.event("task.resumes", attempt_id.job, place=(attempt_id.task, attempt_id.attempt, ""), body=body)


def beginning_of(rows: JobRows, attempt_id: Any) -> ResumePoint | None:
    """The same of the attempt that an order or a row is about."""
    return began_with(rows.one(attempt, attempt_id.task, attempt_id.attempt))


def _cancel(writer: Writer, table: Table, rows: Sequence[Any]) -> None:
    if rows:
        changes = {"state": AttemptState.CANCELLED, "ended_ms": writer.now_ms}
        writer.change(table, rows[0].job, [key_of(table, row) for row in rows], changes)


def _insert_attempt(writer: Writer, attempt_id: AttemptId, state: AttemptState) -> bool:
    """Write an attempt unless it is there."""
    row = {**attempt_key(attempt_id), "state": state, "created_ms": writer.now_ms, **_times(writer, state)}
    if not writer.insert(attempt, attempt_id.job, [row]):
        return False
    writer.event(f"attempt.{state}", attempt_id.job, place=(attempt_id.task, attempt_id.attempt, ""))
    return True


def _times(writer: Writer, state: AttemptState) -> dict[str, object]:
    if state is AttemptState.RUNNING:
        return {"started_ms": writer.now_ms}
    return {"ended_ms": writer.now_ms} if state in ENDED_ATTEMPT else {}


def for_another_party(error: ErrorView | None, shared: bool, differing: str = "") -> ErrorView | None:
    """An error as another party may read it.

    The message of an executor's error may quote a value of a table. Unless the policy shares logs it stays here, and
    the code travels with the sentence that says what it means, and `differing`: which parties do. Flow's own errors
    quote no data.
    """
    if error is None or shared or error.code.startswith("flow."):
        return error
    sentence = public_sentence(error.code)
    return ErrorView(
        code=error.code,
        message=f"{sentence.rstrip('.')}: {differing}." if differing else sentence,
        hint=f"{error.party} keeps the details; 'flow job show' tells them there.",
        party=error.party,
    )
