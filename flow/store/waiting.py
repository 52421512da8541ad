"""What a job that has not ended waits for, as the store has it now: people, parties that are away, room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from flow.job.states import AttemptState, JobState
from flow.store.tables import attempt, job_party
from flow.views.jobs import Waiting

JOB_PARTIES = select(job_party).where(job_party.c.job == bindparam("job"))
ATTEMPTS = select(attempt).where(attempt.c.job == bindparam("job")).order_by(attempt.c.task, attempt.c.attempt)


def waiting_now(connection: Connection, row: Row[Any]) -> list[Waiting]:
    """What the job of a row waits for; nothing once it has ended."""
    if row.ended_ms is not None:
        return []
    of = {"job": row.id}
    return waiting(row, connection.execute(JOB_PARTIES, of).all(), connection.execute(ATTEMPTS, of).all())


def waiting(row: Row[Any], parties: Iterable[Row[Any]], attempts: Iterable[Row[Any]]) -> list[Waiting]:
    """The same by rows that were read already."""
    return [] if row.ended_ms is not None else [*_pause(row), *_parties(row, parties), *_room(attempts)]


def is_away(code: str) -> bool:
    """Whether the error of a call says that the party was not reached; else it answered that it cannot now."""
    return not code or code.startswith("gateway.")


def _pause(row: Row[Any]) -> Iterator[Waiting]:
    if row.state == JobState.PAUSED:
        text = f"a person at {row.initiator}, who paused the job, to let it go on"
        yield Waiting(who=row.initiator, what="pause", text=text, since_ms=row.paused_ms or row.submitted_ms)


def _parties(row: Row[Any], parties: Iterable[Row[Any]]) -> Iterator[Waiting]:
    for party in parties:
        if party.decision == "ask":
            text = f"a person at {party.party} to approve the job"
            yield Waiting(who=party.party, what="person", text=text, since_ms=party.asked_ms or row.submitted_ms)
        if party.absent_ms is not None:
            away = ", which is absent" if is_away(party.absent_code) else ""
            text = f"{party.party}{away}: {party.absent_why}"
            yield Waiting(who=party.party, what="party", text=text, since_ms=party.absent_ms)


def _room(attempts: Iterable[Row[Any]]) -> Iterator[Waiting]:
    for try_ in attempts:
        if try_.state == AttemptState.PENDING and try_.waits:
            text = f"room for task {try_.task} at {try_.waits}"
            yield Waiting(who=try_.waits.partition(":")[0], what="room", text=text, since_ms=try_.waits_ms)
