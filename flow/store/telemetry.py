"""Metrics, log lines and progress: recorded exactly once, told by one event a batch and side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, LargeBinary, Table, cast, delete, func, literal, select

from flow.protocol.messages import LogReport, MetricReport, ProgressReport
from flow.store.tables import event_log, log_line, metric, part, progress
from flow.store.writer import Writer
from party.ids import Address

MAX_WHAT_CHARS = 200
MAX_NAME_CHARS = 100
MAX_LEVEL_CHARS = 20
FORGET_MS = 7_200_000  # a node keeps the logs of a job that was cleaned for an hour

Place = tuple[str, int, str]  # (task, attempt, address): one side of an attempt; of an event's, the party


class Stored(NamedTuple):
    """How much is stored of one kind of rows."""

    rows: int
    bytes: int


def insert_metrics(writer: Writer, job: str, metrics: Sequence[MetricReport]) -> None:
    """Write each number once, by (job, task, attempt, party, role, name, step)."""
    rows = []
    for item in metrics:
        value, special = _stored(item.value)
        rows.append(
            {
                "job": job,
                **_who(item.task, item.attempt, item.address),
                "name": item.name[:MAX_NAME_CHARS],
                "step": item.step,
                "value": value,
                "special": special,
                "at_ms": item.at_ms,
            }
        )
    for place, body in _insert(writer, metric, job, rows):
        writer.event("metrics.recorded", job, place=place, body=body)


def insert_logs(writer: Writer, job: str, lines: Sequence[LogReport]) -> None:
    """Write each line once, by (incarnation, sequence)."""
    rows = [
        {
            "job": job,
            **_who(item.task, item.attempt, item.address),
            "incarnation": item.incarnation,
            "sequence": item.sequence,
            "level": item.level[:MAX_LEVEL_CHARS],
            "text": item.text,
            "at_ms": item.at_ms,
        }
        for item in lines
    ]
    for place, _ in _insert(writer, log_line, job, rows):
        writer.event("logs.recorded", job, place=place)


def put_progress(writer: Writer, job: str, told: Sequence[ProgressReport]) -> None:
    """Remember how far each side is; only the last word counts."""
    last = {(item.task, item.attempt, item.address): item for item in told}
    for item in last.values():
        row = item.model_dump()
        writer.put(progress, {"job": job, **row, "what": item.what[:MAX_WHAT_CHARS]})
    for task, attempt, party in sorted({(t, n, str(Address.parse(a).party)) for t, n, a in last}):
        writer.event("progress.recorded", job, place=(task, attempt, party))


def amount(connection: Connection, table: Table, job: str, place: Place) -> Stored:
    """How much is stored of one side of an attempt: of numbers (`metric`) the rows, of lines also bytes."""
    size = func.sum(func.length(cast(log_line.c.text, LargeBinary))) if table is log_line else literal(0)
    found = select(func.count(), func.coalesce(size, 0)).select_from(table).where(*_of(table, job, place))
    rows, used = connection.execute(found).one()
    return Stored(int(rows), int(used))


def read_places(writer: Writer) -> dict[str, int]:
    """The last sequence that was recorded of each event log; forgets those of jobs that ended long ago."""
    over = select(part.c.job).where(part.c.state.in_(("ended", "left")))
    old = (event_log.c.at_ms < writer.now_ms - FORGET_MS) & event_log.c.job.in_(over)
    writer.run(delete(event_log).where(old))
    return {row.name: int(row.sequence) for row in writer.run(select(event_log.c.name, event_log.c.sequence))}


def put_places(writer: Writer, job: str, places: Mapping[str, int]) -> None:
    """Remember the last sequence of event logs, in the transaction that recorded it."""
    for name, sequence in places.items():
        writer.put(event_log, {"name": name, "job": job, "sequence": sequence, "at_ms": writer.now_ms})


def number(value: float | None, special: str) -> float:
    """A stored number, also where the database cannot hold it."""
    return float(special or "nan") if special or value is None else float(value)


def _stored(value: float) -> tuple[float | None, str]:
    if math.isfinite(value):
        return value, ""
    return None, "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _who(task: str, attempt: int, address: str) -> dict[str, object]:
    who = Address.parse(address)
    return {"task": task, "attempt": attempt, "party": who.party, "role": str(who.role)}


def _insert(
    writer: Writer, table: Table, job: str, rows: Sequence[dict[str, object]]
) -> list[tuple[Place, dict[str, object]]]:
    """Write rows, each once. Of which parties' attempts some were new, and the ids of the `first` and the `last`."""
    if not rows:
        return []
    before = writer.run(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
    writer.insert_new(table, rows)
    place = (table.c.task, table.c.attempt, table.c.party)
    ids = (func.min(table.c.id).label("first"), func.max(table.c.id).label("last"))
    found = select(*place, *ids).where(table.c.job == job, table.c.id > before).group_by(*place).order_by(*place)
    told = writer.run(found).all()
    return [((row.task, row.attempt, row.party), {"first": row.first, "last": row.last}) for row in told]


def _of(table: Table, job: str, place: Place) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in {"job": job, **_who(*place)}.items()]
