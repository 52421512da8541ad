"""Rows of the store as the records of `flow.views.jobs`. Reads only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_

from algorithms.registry import component
from flow.errors import UnknownJob, UnreadableJob
from flow.job.binding import Components
from flow.job.references import needs_of
from flow.job.states import AttemptState, JobState
from flow.protocol.messages import Answer, SignedAnswer
from flow.store.notes import notes_of
from flow.store.stored import stored
from flow.store.tables import attempt, event, executor, job, job_party, log_line, metric, output, part, progress, side
from flow.store.telemetry import number
from flow.store.transitions import error_of
from flow.store.waiting import waiting_now
from flow.views.jobs import (
    ELSEWHERE,
    MOST_ROWS,
    NOT_RUN,
    UNKNOWN,
    AttemptView,
    ErrorView,
    EventRow,
    JobSummary,
    JobView,
    LogRow,
    MetricRow,
    OutputRow,
    PartyView,
    ProgressRow,
    SideView,
    TaskView,
    Waiting,
)
from flow.views.why import continue_text, decide_text
from party.ids import Address
from runtime.bounds import MAX_TIME_MS
from runtime.errors import PlatformError
from runtime.log import get_logger
from runtime.text import printable

T = TypeVar("T")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, PlatformError)


class Reader:
    """Reads what this party knows of its jobs, those it leads and those of others."""

    def __init__(self, party: str, components: Components = component) -> None:
        self._party = party
        self._components = components

    # -- jobs --------------------------------------------------------------------------------------------------------
    def jobs(self, connection: Connection, limit: int, only: ColumnElement[bool], before: str = "") -> list[JobSummary]:
        """The newest first of the jobs that `only` takes, of those older than the job `before` if there is one.

        By when this party heard of them: their ids are made by whoever leads them.
        """
        query = select(job).where(only).order_by(job.c.submitted_ms.desc(), job.c.id.desc()).limit(limit)
        if before:
            first = select(job.c.submitted_ms).where(job.c.id == before).scalar_subquery()
            query = query.where(tuple_(job.c.submitted_ms, job.c.id) < tuple_(first, before))
        rows = connection.execute(query).all()
        names = [row.id for row in rows]
        done = _tasks_done(connection, names)
        left = _left(connection, names)
        return [self._line(connection, row, done.get(row.id, 0), left.get(row.id, "")) for row in rows]

    def _line(self, connection: Connection, row: Row[Any], done: int, left: str) -> JobSummary:
        """One line of the list; one that cannot be shown says so and hides no other."""
        try:
            return JobSummary(**self._summary(connection, row, done, left))
        except _UNREADABLE as error:
            get_logger("flow").warning("job.unreadable", job=row.id, reason=str(error)[:200])
            return JobSummary(
                id=row.id,
                name="(this job cannot be shown)",
                initiator="",
                user="",
                state=JobState.FAILED,
                submitted_ms=0,
            )

    def job(self, connection: Connection, job_id: str) -> JobView:
        """One job. Raises UnknownJob."""
        row = self.row(connection, job_id)
        tasks = self._tasks(connection, row)
        spec = json.loads(row.spec)
        left = _left(connection, [job_id]).get(job_id, "")
        error = error_of(row)
        return JobView(
            **self._summary(connection, row, sum(task.state == AttemptState.SUCCEEDED for task in tasks), left),
            error=error,
            own_error=self._own_error(connection, job_id, error) if row.ended_ms is not None else None,
            parties=tuple(self._parties(connection, row, spec)),
            tasks=tuple(tasks),
            notes=notes_of(connection, job_id),
            manifest_digest=row.manifest_digest,
            closed=bool(row.closed),
            spec=spec,
            last_event=connection.execute(select(func.max(event.c.id)).where(event.c.job == job_id)).scalar_one() or 0,
        )

    def _own_error(self, connection: Connection, job_id: str, error: ErrorView | None) -> ErrorView | None:
        """What failed here last, where the job's error is of another party."""
        if error is None or error.party == self._party:
            return None
        failed = select(executor).where(executor.c.job == job_id, executor.c.error_code != "")
        row = connection.execute(failed.order_by(executor.c.ended_ms.desc(), executor.c.address).limit(1)).first()
        return None if row is None else error_of(row)

    def row(self, connection: Connection, job_id: str) -> Row[Any]:
        """A job's row. Raises UnknownJob."""
        found = connection.execute(select(job).where(job.c.id == job_id)).first()
        if found is None:
            raise UnknownJob(
                f"There is no job '{job_id[:80]}' here.", hint="`flow job list` shows the jobs of this party."
            )
        return found

    def _summary(self, connection: Connection, row: Row[Any], done: int, left: str) -> dict[str, Any]:
        return {
            "id": row.id,
            "name": printable(row.name),
            "initiator": row.initiator,
            "user": printable(row.user_name),
            "state": JobState(row.state),
            "outcome": row.outcome,
            "submitted_ms": _time(row.submitted_ms) or 0,
            "started_ms": _time(row.started_ms),
            "ended_ms": _time(row.ended_ms),
            "tasks_done": done,
            "tasks_total": len(self._told(row, json.loads(row.spec))),
            "waiting_for": tuple(self._to_do(item, row.id) for item in waiting_now(connection, row)),
            "left": left,
        }

    def _to_do(self, item: Waiting, job_id: str) -> Waiting:
        """The same, with what our own people are to do about it."""
        do = {"person": decide_text, "pause": continue_text}.get(item.what) if item.who == self._party else None
        return item.model_copy(update={"do": do(job_id)}) if do else item

    def _parties(self, connection: Connection, of: Row[Any], spec: dict[str, Any]) -> list[PartyView]:
        """What each party said; our own reasons as our own people may read them."""
        rows = connection.execute(select(job_party).where(job_party.c.job == of.id)).all()
        known = {row.party: row for row in rows}
        own = connection.execute(
            select(part.c.reasons, part.c.decided_by, part.c.note).where(part.c.job == of.id)
        ).first()
        over = of.initiator == self._party and of.ended_ms is not None
        unheard = "" if of.initiator == self._party else UNKNOWN
        found = []
        for party in sorted({p for parties in spec["roles"].values() for p in parties}):
            row = known.get(party)
            said = _said(row.job, row.answer) if row is not None and row.answer else None
            reasons = said.reasons if said else ()
            ours = own if party == self._party else None
            found.append(
                PartyView(
                    party=party,
                    roles=tuple(role for role, parties in spec["roles"].items() if party in parties),
                    decision=row.decision if row is not None else unheard,
                    reasons=tuple(json.loads(ours.reasons)) if ours and ours.reasons else reasons,
                    by=printable(ours.decided_by) if ours else "",
                    note=printable(ours.note) if ours else "",
                    warnings=said.warnings if said else (),
                    unconfirmed=row.absent_why if over and row is not None and not row.closed else "",
                )
            )
        return found

    # -- tasks -------------------------------------------------------------------------------------------------------
    def _tasks(self, connection: Connection, row: Row[Any]) -> list[TaskView]:
        spec = json.loads(row.spec)
        leading = row.initiator == self._party
        ours = self._told(row, spec)
        unseen = "waiting" if row.ended_ms is None else NOT_RUN
        tries = connection.execute(
            select(attempt).where(attempt.c.job == row.id).order_by(attempt.c.task, attempt.c.attempt)
        ).all()
        table = side if leading else executor
        sides = connection.execute(select(table).where(table.c.job == row.id).order_by(table.c.address)).all()
        how_far = {
            (p.task, p.attempt, p.address): p
            for p in connection.execute(select(progress).where(progress.c.job == row.id)).all()
        }
        found = []
        for name, task in spec["tasks"].items():
            mine = [t for t in tries if t.task == name]
            views = [_attempt(t, [s for s in sides if (s.task, s.attempt) == (name, t.attempt)], how_far) for t in mine]
            last = [s for s in sides if mine and (s.task, s.attempt) == (name, mine[-1].attempt)]
            succeeded = bool(mine) and mine[-1].state == AttemptState.SUCCEEDED
            published = succeeded and (not leading or all(s.published for s in last))
            found.append(
                TaskView(
                    name=name,
                    component=task["component"],
                    state=mine[-1].state if mine else unseen if name in ours else ELSEWHERE,
                    needs=tuple(sorted(needs_of(task["inputs"]))),
                    published=published,
                    attempts=tuple(views),
                )
            )
        return found

    def _told(self, row: Row[Any], spec: dict[str, Any]) -> frozenset[str]:
        """The tasks of which we hear: all that we lead, and those in which we have a side."""
        tasks = spec["tasks"]
        if row.initiator == self._party:
            return frozenset(tasks)
        mine = {role for role, parties in spec["roles"].items() if self._party in parties}
        return frozenset(name for name, task in tasks.items() if mine & self._roles(task, spec))

    def _roles(self, task: dict[str, Any], spec: dict[str, Any]) -> set[str]:
        """Which roles a task has; those of the whole job where it says nothing and its component is not known here."""
        if task.get("roles") is not None:
            return set(task["roles"])
        try:
            return {str(role) for role in self._components(task["component"]).roles}
        except PlatformError:
            return set(spec["roles"])

    # -- rows --------------------------------------------------------------------------------------------------------
    def metrics(self, connection: Connection, job_id: str, task: str | None, since: int) -> list[MetricRow]:
        """Numbers with an id above `since`, oldest first."""
        query = select(metric).where(metric.c.job == job_id, metric.c.id > since).order_by(metric.c.id).limit(MOST_ROWS)
        return _each(connection.execute(query.where(metric.c.task == task) if task else query), _metric)

    def latest_metrics(self, connection: Connection, job_id: str) -> list[MetricRow]:
        """Of each metric of each address in each task the number that came last; oldest first."""
        newest = select(func.max(metric.c.id)).where(metric.c.job == job_id)
        newest = newest.group_by(metric.c.task, metric.c.party, metric.c.role, metric.c.name)
        ids = list(connection.execute(newest).scalars())
        return _each(connection.execute(select(metric).where(metric.c.id.in_(ids)).order_by(metric.c.id)), _metric)

    def logs(
        self, connection: Connection, job_id: str, task: str | None, since: int, newest: int | None = None
    ) -> list[LogRow]:
        """Log lines with an id above `since`, or of those the newest few; oldest first."""
        query = select(log_line).where(log_line.c.job == job_id, log_line.c.id > since)
        query = query.order_by(log_line.c.id if newest is None else log_line.c.id.desc()).limit(newest or MOST_ROWS)
        rows = connection.execute(query.where(log_line.c.task == task) if task else query).all()
        rows = rows if newest is None else rows[::-1]
        return _each(rows, lambda r: LogRow.model_validate({**r._mapping, "at_ms": _time(r.at_ms) or 0}))

    def outputs(self, connection: Connection, job_id: str) -> list[OutputRow]:
        """Published outputs."""
        query = select(output).where(output.c.job == job_id).order_by(output.c.task, output.c.address, output.c.name)
        return _each(
            connection.execute(query).all(),
            lambda r: OutputRow(
                task=r.task, name=r.name, kind=r.kind, reference=r.reference, digest=r.digest, **_who(r.address)
            ),
        )

    def progress(self, connection: Connection, job_id: str) -> list[ProgressRow]:
        """How far each side is."""
        query = select(progress).where(progress.c.job == job_id).order_by(progress.c.task, progress.c.address)
        return _each(
            connection.execute(query).all(),
            lambda r: ProgressRow(
                task=r.task,
                attempt=r.attempt,
                done=r.done,
                total=r.total,
                what=r.what,
                at_ms=_time(r.at_ms) or 0,
                **_who(r.address),
            ),
        )

    def events(self, connection: Connection, job_id: str | None, since: int, limit: int) -> list[EventRow]:
        """Events with an id above `since`, oldest first."""
        query = select(event).where(event.c.id > since).order_by(event.c.id).limit(limit)
        return _each(connection.execute(query.where(event.c.job == job_id) if job_id else query), _event)

    def event_rows(self, connection: Connection, query: Select[Any]) -> list[EventRow]:
        """The events that a query of their table finds."""
        return _each(connection.execute(query), _event)

    def moves(self, connection: Connection, job_id: str, newest: int) -> list[EventRow]:
        """The newest few events of a job that tell of more than rows that were recorded; oldest first."""
        query = select(event).where(event.c.job == job_id, event.c.kind.not_like("%.recorded"))
        rows = connection.execute(query.order_by(event.c.id.desc()).limit(newest)).all()
        return _each(rows[::-1], _event)

    def with_metrics(self, connection: Connection, job_id: str, events: list[EventRow]) -> list[EventRow]:
        """Events of one job, with the numbers that they tell of."""
        ids = [told for row in events if (told := _told(row))]
        if not ids:
            return events
        first, last = min(told.start for told in ids), max(told.stop for told in ids)
        query = select(metric).where(metric.c.job == job_id, metric.c.id >= first, metric.c.id < last)
        numbers = {row.id: row for row in _each(connection.execute(query), _metric)}
        return [row.model_copy(update={"metrics": _of_event(row, numbers)}) for row in events]


def _metric(row: Row[Any]) -> MetricRow:
    return MetricRow.model_validate(
        {**row._mapping, "value": number(row.value, row.special), "at_ms": _time(row.at_ms) or 0}
    )


def _event(row: Row[Any]) -> EventRow:
    return EventRow.model_validate({**row._mapping, "body": json.loads(row.body)})


def _told(event: EventRow) -> range:
    """Among which ids the numbers are that an event tells of."""
    first, last = event.body.get("first"), event.body.get("last")
    if event.kind == "metrics.recorded" and isinstance(first, int) and isinstance(last, int):
        return range(first, last + 1)
    return range(0)


def _of_event(event: EventRow, numbers: Mapping[int, MetricRow]) -> tuple[MetricRow, ...]:
    found = (numbers[number] for number in _told(event) if number in numbers)
    place = (event.task, event.attempt, event.party)
    return tuple(row for row in found if (row.task, row.attempt, row.party) == place)


def _time(at_ms: int | None) -> int | None:
    """A moment that a calendar has, or none."""
    return at_ms if at_ms is not None and 0 <= at_ms <= MAX_TIME_MS else None


def _left(connection: Connection, names: list[str]) -> dict[str, str]:
    """Why this party left those of the jobs that it left."""
    query = select(part.c.job, part.c.left_why).where(part.c.job.in_(names), part.c.left_why != "")
    return {row.job: printable(row.left_why) for row in connection.execute(query).all()}


def _each(rows: Iterable[Row[Any]], form: Callable[[Row[Any]], T]) -> list[T]:
    """The rows in their form; one that has none is left out, so that it hides no other."""
    found = []
    for row in rows:
        try:
            found.append(form(row))
        except _UNREADABLE as error:
            get_logger("flow").warning("row.unreadable", job=row.job, reason=str(error)[:200])
    return found


def part_state(connection: Connection, job_id: str) -> str:
    """The state of our own part in a job, or nothing."""
    return str(connection.execute(select(part.c.state).where(part.c.job == job_id)).scalar_one_or_none() or "")


def _tasks_done(connection: Connection, names: list[str]) -> dict[str, int]:
    query = select(attempt.c.job, func.count()).where(attempt.c.job.in_(names), attempt.c.state == "succeeded")
    return {row[0]: int(row[1]) for row in connection.execute(query.group_by(attempt.c.job)).all()}


def _said(job_id: str, text: str) -> Answer | None:
    """What a party said, unless a release with other bounds took it in."""
    try:
        return stored(SignedAnswer, job_id, text).answer
    except UnreadableJob:
        return None


def _attempt(row: Row[Any], sides: list[Row[Any]], how_far: dict[tuple[str, int, str], Row[Any]]) -> AttemptView:
    return AttemptView(
        attempt=row.attempt,
        state=AttemptState(row.state),
        from_attempt=row.from_attempt,
        from_step=row.from_step,
        created_ms=row.created_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        error=error_of(row) or next((e for s in sides if (e := error_of(s))), None),
        sides=tuple(_side(s, how_far.get((s.task, s.attempt, s.address))) for s in sides),
    )


def _side(row: Row[Any], how_far: Row[Any] | None) -> SideView:
    return SideView(
        address=row.address,
        **_who(row.address),
        state=AttemptState(row.state),
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        done=how_far.done if how_far is not None else None,
        total=how_far.total if how_far is not None else None,
        error=error_of(row),
    )


def _who(address: str) -> dict[str, str]:
    who = Address.parse(address)
    return {"party": who.party, "role": str(who.role)}
