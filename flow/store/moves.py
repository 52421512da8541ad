"""Every move of a job, attempt, side or executor: a compare-and-swap, and the event row that tells of it.

A move names the state that the caller saw. Raises IllegalTransition for a pair that is not in the table of states,
Moved where somebody else was first; in both cases the transaction is given up by the exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table, and_, update

from flow.errors import Moved
from flow.job_state import (
    ENDED_ATTEMPT,
    ENDED_JOB,
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    attempt_after,
    job_after,
)
from flow.store.database import Writer
from flow.store.tables import attempt, executor, job, side
from flow.views import ErrorView
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.errors import PlatformError, public_sentence

NO_ERROR = {"error_code": "", "error_message": "", "error_hint": "", "error_party": ""}


@dataclass(frozen=True)
class Side:
    """Names one address's side of an attempt."""

    attempt: AttemptId
    address: Address

    def key(self) -> dict[str, object]:
        """The columns that find its row."""
        return {**attempt_key(self.attempt), "address": str(self.address)}


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


def attempt_key(name: AttemptId) -> dict[str, object]:
    """The columns that find an attempt."""
    return {"job": name.job, "task": name.task, "attempt": name.attempt}


def move_job(writer: Writer, name: str, seen: JobState, what: JobEvent, error: ErrorView | None = None) -> JobState:
    """Move a job; a job that ends well is complete, what still runs of one that ends otherwise is cancelled."""
    new = job_after(seen, what)
    changes: dict[str, object] = {"state": new}
    if error is not None:
        changes.update(error_columns(error))
    if new is JobState.RUNNING and seen is JobState.AGREED:
        changes["started_ms"] = writer.now_ms
    if new in ENDED_JOB:
        changes["ended_ms"] = writer.now_ms
    if new is JobState.SUCCEEDED:
        changes["outcome"] = "complete"
    _swap(writer, job, {"id": name}, seen, changes)
    body: dict[str, object] = {"error": error.model_dump()} if error else {}
    writer.event(f"job.{new}", name, body=body)
    return new


def mirror_job(writer: Writer, name: str, state: JobState, error: ErrorView | None = None) -> None:
    """Take over the state that the leading party announced; an ended job stays as it is."""
    changes: dict[str, object] = {"state": state}
    if state in ENDED_JOB:
        changes["ended_ms"] = writer.now_ms
        changes["outcome"] = "complete" if state is JobState.SUCCEEDED else ""
    if state is JobState.RUNNING:
        changes["started_ms"] = writer.now_ms
    if error is not None:
        changes.update(error_columns(error))
    alive = job.c.state.not_in([*ENDED_JOB, state])
    if writer.run(update(job).where(and_(job.c.id == name, alive)).values(changes)).rowcount:
        writer.event(f"job.{state}", name, body={"error": error.model_dump()} if error else {})


def new_attempt(writer: Writer, name: AttemptId, addresses: Iterable[Address]) -> None:
    """Write an attempt that wants room, with a side for each address. Doing it again changes nothing."""
    row = {**attempt_key(name), "state": AttemptState.PENDING, "created_ms": writer.now_ms}
    filled = {"counted": True, "retryable": False, "waits": "", **NO_ERROR}
    writer.insert_new(attempt, [{**row, **filled}])
    sides = [
        {
            **attempt_key(name),
            "address": str(address),
            "party": address.party,
            "state": AttemptState.PENDING,
            "stopped": False,
            "published": False,
            "retryable": False,
            **NO_ERROR,
        }
        for address in addresses
    ]
    writer.insert_new(side, sides)
    writer.event("attempt.pending", name.job, place=(name.task, name.attempt, ""))


def move_attempt(
    writer: Writer,
    name: AttemptId,
    seen: AttemptState,
    what: AttemptEvent,
    **changes: object,
) -> AttemptState:
    """Move an attempt as a whole; extra columns change with it."""
    new = attempt_after(seen, what)
    _swap(writer, attempt, attempt_key(name), seen, {**_times(writer, new), **changes, "state": new})
    code = changes.get("error_code")
    writer.event(f"attempt.{new}", name.job, place=(name.task, name.attempt, ""), body={"code": code} if code else {})
    return new


def mirror_attempt(writer: Writer, name: AttemptId, state: AttemptState) -> None:
    """Take over an attempt's state that the leading party announced; an ended attempt stays as it is."""
    filled = {"counted": True, "retryable": False, "waits": "", **NO_ERROR}
    row = {**attempt_key(name), "state": AttemptState.PENDING, "created_ms": writer.now_ms}
    writer.insert_new(attempt, [{**row, **filled}])
    alive = and_(*_match(attempt, attempt_key(name)), attempt.c.state.not_in([*ENDED_ATTEMPT, state]))
    if writer.run(update(attempt).where(alive).values(state=state, **_times(writer, state))).rowcount:
        writer.event(f"attempt.{state}", name.job, place=(name.task, name.attempt, ""))


def move_side(
    writer: Writer,
    name: Side,
    seen: AttemptState,
    what: AttemptEvent,
    **changes: object,
) -> AttemptState:
    """Move what the leading party knows of one side."""
    return _move_row(writer, side, name, seen, what, changes)


def move_executor(
    writer: Writer,
    name: Side,
    seen: AttemptState,
    what: AttemptEvent,
    **changes: object,
) -> AttemptState:
    """Move this party's own executor."""
    return _move_row(writer, executor, name, seen, what, changes)


def cancel_open(
    writer: Writer, name: str, otherwise: Mapping[tuple[str, int], AttemptState] = MappingProxyType({})
) -> None:
    """Cancel every attempt and side of a job that has not ended; the job itself has.

    Args:
        writer: The transaction.
        name: The job.
        otherwise: By task and number, attempts that ended in another way where the job is led.
    """
    open_attempts = and_(attempt.c.job == name, attempt.c.state.not_in(list(ENDED_ATTEMPT)))
    open_sides = and_(side.c.job == name, side.c.state.not_in(list(ENDED_ATTEMPT)))
    ended = {"state": AttemptState.CANCELLED, "ended_ms": writer.now_ms}
    rows = writer.run(attempt.select().where(open_attempts)).all()
    writer.run(update(attempt).where(open_attempts).values(ended))
    writer.run(update(side).where(open_sides).values(ended))
    for row in rows:
        state = otherwise.get((row.task, row.attempt), AttemptState.CANCELLED)
        if state is not AttemptState.CANCELLED:
            this = attempt_key(AttemptId(JobId(name), TaskName(row.task), row.attempt))
            writer.run(update(attempt).where(*_match(attempt, this)).values(state=state))
        writer.event(f"attempt.{state}", name, place=(row.task, row.attempt, ""))


def _move_row(
    writer: Writer,
    table: Table,
    name: Side,
    seen: AttemptState,
    what: AttemptEvent,
    changes: Mapping[str, object],
) -> AttemptState:
    new = attempt_after(seen, what)
    _swap(writer, table, name.key(), seen, {**_times(writer, new), **changes, "state": new})
    place = (name.attempt.task, name.attempt.attempt, name.address.party)
    body: dict[str, object] = {"address": str(name.address)}
    if changes.get("error_code"):
        body["code"] = changes["error_code"]
    writer.event(f"{'side' if table is side else 'executor'}.{new}", name.attempt.job, place=place, body=body)
    return new


def _times(writer: Writer, state: AttemptState) -> dict[str, object]:
    if state is AttemptState.RUNNING:
        return {"started_ms": writer.now_ms}
    return {"ended_ms": writer.now_ms} if state in ENDED_ATTEMPT else {}


def _match(table: Table, key: Mapping[str, object]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def _swap(writer: Writer, table: Table, key: Mapping[str, object], seen: str, changes: Mapping[str, object]) -> None:
    where = and_(*_match(table, key), table.c.state == seen)
    if writer.run(update(table).where(where).values(dict(changes))).rowcount != 1:
        name = "/".join(str(value) for value in key.values())
        raise Moved(f"{table.name} {name} is no longer '{seen}'.")


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
