"""What a job that has not ended waits for, as the store has it now: people, parties that are away, room."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from flow.job.states import AttemptState, JobState
from flow.store.tables import attempt, event, job_party
from flow.views.jobs import EventRow, Waiting
from gateway.client import FlowSilent, GatewayDown

MOST_RESTARTS = 100
JOB_PARTIES = select(job_party).where(job_party.c.job == bindparam("job"))
ATTEMPTS = select(attempt).where(attempt.c.job == bindparam("job")).order_by(attempt.c.task, attempt.c.attempt)


def waiting_now(connection: Connection, row: Row[Any]) -> list[Waiting]:
    """What the job of a row waits for; nothing once it has ended."""
    if row.ended_ms is not None:
        return []
    of = {"job": row.id}
    return waiting(row, connection.execute(JOB_PARTIES, of).all(), connection.execute(ATTEMPTS, of).all())


def waiting(row: Row[Any], parties: Sequence[Row[Any]], attempts: Iterable[Row[Any]]) -> list[Waiting]:
    """The same by rows that were read already."""
    return [] if row.ended_ms is not None else [*_pause(row), *_parties(row, parties), *_room(attempts)]


def restarts(connection: Connection, job_id: str) -> list[EventRow]:
    """The newest restarts of this party's executors of a job, oldest first."""
    query = select(event).where(event.c.job == job_id, event.c.kind == "executor.restarted")
    rows = connection.execute(query.order_by(event.c.id.desc()).limit(MOST_RESTARTS)).all()
    return [EventRow.model_validate({**row._mapping, "body": json.loads(row.body)}) for row in reversed(rows)]


def is_away(code: str) -> bool:
    """Whether the error of a call says that the party was not reached; else it answered that it cannot now."""
    return not code or code.startswith("gateway.")


def is_own_gateway(code: str) -> bool:
    """Whether the error of a call says that it did not leave this party."""
    return code == GatewayDown.code


def _pause(row: Row[Any]) -> Iterator[Waiting]:
    if row.state == JobState.PAUSED:
        text = f"a person at {row.initiator}, who paused the job, to let it go on"
        yield Waiting(who=row.initiator, what="pause", text=text, since_ms=row.paused_ms or row.submitted_ms)


def _own_gateway(row: Row[Any], since: list[int | None]) -> Iterator[Waiting]:
    """Calls to others did not leave us, who lead the job: once, however many they were."""
    known = [at for at in since if at is not None]
    if known:
        text = f"the gateway of {row.initiator}, which does not answer"
        yield Waiting(who=row.initiator, what="gateway", text=text, since_ms=min(known))


def _parties(row: Row[Any], parties: Sequence[Row[Any]]) -> Iterator[Waiting]:
    yield from _own_gateway(row, [party.absent_ms for party in parties if is_own_gateway(party.absent_code)])
    for party in parties:
        if party.decision == "ask":
            text = f"a person at {party.party} to approve the job"
            yield Waiting(who=party.party, what="person", text=text, since_ms=party.asked_ms or row.submitted_ms)
        if party.absent_ms is not None and not is_own_gateway(party.absent_code):
            yield Waiting(who=party.party, what="party", text=_absent(party), since_ms=party.absent_ms)


def _absent(party: Row[Any]) -> str:
    if party.absent_code == FlowSilent.code:
        return f"the Flow of {party.party}, which does not answer; its gateway does"
    away = ", which is absent" if is_away(party.absent_code) else ""
    return f"{party.party}{away}: {party.absent_why}"


def _room(attempts: Iterable[Row[Any]]) -> Iterator[Waiting]:
    for try_ in attempts:
        if try_.state == AttemptState.PENDING and try_.waits:
            text = f"room for task {try_.task} at {try_.waits}"
            yield Waiting(who=try_.waits.partition(":")[0], what="room", text=text, since_ms=try_.waits_ms)
