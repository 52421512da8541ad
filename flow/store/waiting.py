"""What a job that has not ended waits for, as the store has it now: people, parties that are away, room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, select

from flow.store.tables import attempt, job_party
from flow.views import Waiting


def waiting(connection: Connection, row: Row[Any]) -> list[Waiting]:
    """What the job of a row waits for; nothing once it has ended."""
    if row.ended_ms is not None:
        return []
    return [*_parties(connection, row), *_room(connection, row)]


def is_away(code: str) -> bool:
    """Whether the error of a call says that the party was not reached; else it answered that it cannot now."""
    return not code or code.startswith("gateway.")


def _parties(connection: Connection, row: Row[Any]) -> Iterator[Waiting]:
    for party in connection.execute(select(job_party).where(job_party.c.job == row.id)).all():
        if party.decision == "ask":
            text = f"a person at {party.party} to approve the job"
            yield Waiting(who=party.party, what="person", text=text, since_ms=party.asked_ms or row.submitted_ms)
        if party.absent_ms is not None:
            away = ", which is absent" if is_away(party.absent_code) else ""
            text = f"{party.party}{away}: {party.absent_why}"
            yield Waiting(who=party.party, what="party", text=text, since_ms=party.absent_ms)


def _room(connection: Connection, row: Row[Any]) -> Iterator[Waiting]:
    waits = select(attempt).where(attempt.c.job == row.id, attempt.c.state == "pending", attempt.c.waits != "")
    for try_ in connection.execute(waits).all():
        text = f"room for task {try_.task} at {try_.waits}"
        yield Waiting(who=try_.waits.partition(":")[0], what="room", text=text, since_ms=try_.waits_ms)
