"""Metrics, log lines and progress: recorded exactly once, told by one event a batch and side."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, LargeBinary, Table, cast, func, literal, select

from flow.messages import LogNews, MetricNews, ProgressNews
from flow.store.tables import cursor, log_line, metric, progress
from flow.store.writer import Writer
from party.ids import Address

MAX_WHAT_CHARS = 200
MAX_NAME_CHARS = 100
MAX_LEVEL_CHARS = 20

Place = tuple[str, int, str]  # (task, attempt, address): one side of an attempt


class Stored(NamedTuple):
    """How much is stored of one kind of news."""

    rows: int
    bytes: int


def insert_metrics(writer: Writer, job: str, news: Sequence[MetricNews]) -> None:
    """Write each number once, by (job, task, attempt, party, role, name, step)."""
    rows = []
    for item in news:
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
    _insert(writer, metric, "metrics.recorded", job, rows, {(item.task, item.attempt, item.address) for item in news})


def insert_logs(writer: Writer, job: str, news: Sequence[LogNews]) -> None:
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
        for item in news
    ]
    _insert(writer, log_line, "logs.recorded", job, rows, {(item.task, item.attempt, item.address) for item in news})


def put_progress(writer: Writer, job: str, news: Sequence[ProgressNews]) -> None:
    """Remember how far each side is; only the last word counts."""
    last = {(item.task, item.attempt, item.address): item for item in news}
    for item in last.values():
        row = item.model_dump()
        writer.put(progress, {"job": job, **row, "what": item.what[:MAX_WHAT_CHARS]})
    _tell(writer, "progress.recorded", job, last)


def amount(connection: Connection, table: Table, job: str, place: Place) -> Stored:
    """How much is stored of one side of an attempt: of numbers (`metric`) the rows, of lines also bytes."""
    size = func.sum(func.length(cast(log_line.c.text, LargeBinary))) if table is log_line else literal(0)
    found = select(func.count(), func.coalesce(size, 0)).select_from(table).where(*_of(table, job, place))
    rows, used = connection.execute(found).one()
    return Stored(int(rows), int(used))


def position(writer: Writer, name: str) -> int:
    """How far a stream of news was read."""
    found = writer.run(select(cursor.c.position).where(cursor.c.name == name)).scalar_one_or_none()
    return int(found or 0)


def put_position(writer: Writer, name: str, value: int) -> None:
    """Remember how far a stream of news was read, in the transaction that recorded it."""
    writer.put(cursor, {"name": name, "position": value})


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
    writer: Writer, table: Table, kind: str, job: str, rows: Sequence[dict[str, object]], places: Collection[Place]
) -> None:
    """Write rows, each once, and tell of the sides of which some were new."""

    def count(place: Place) -> int:
        found = select(func.count()).select_from(table).where(*_of(table, job, place))
        return int(writer.run(found).scalar_one())

    before = {place: count(place) for place in places}
    writer.insert_new(table, rows)
    _tell(writer, kind, job, [place for place in places if count(place) > before[place]])


def _of(table: Table, job: str, place: Place) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in {"job": job, **_who(*place)}.items()]


def _tell(writer: Writer, kind: str, job: str, places: Iterable[Place]) -> None:
    for task, attempt, party in sorted({(t, n, str(Address.parse(a).party)) for t, n, a in places}):
        writer.event(kind, job, place=(task, attempt, party))
