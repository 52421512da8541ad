"""Brings the initiator what it has to hear: ends of sides, shared numbers, later answers, withdrawals.

What is due stands in the store, so that it is sent after any restart; it is crossed off once it is acknowledged, so
that it arrives at least once, and the initiator takes it exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from flow.errors import JobNotRunning, NotInitiator
from flow.participant.running import REPORTED, side_report
from flow.pauses import Pauses
from flow.protocol.messages import (
    Ack,
    LogReport,
    Message,
    Method,
    MetricReport,
    ProgressReport,
    Report,
    Withdrawal,
)
from flow.protocol.policy import Stance
from flow.rooms.peer_calls import PeerCalls
from flow.rooms.ports import Rooms
from flow.scheduler import Scheduler
from flow.store.database import Database
from flow.store.job_cache import JobRows, Key
from flow.store.participations import LEFT, answer_of, change_part, parties_of
from flow.store.tables import executor, log_line, metric, part, progress
from flow.store.telemetry import number
from flow.views.links import Postponed
from runtime.clock import now_ms
from runtime.errors import PlatformError, Unavailable
from runtime.log import get_logger

ROWS = 2_000
LOG_BYTES = 2 << 20  # of lines in one report; a call carries 4 MiB
SEND_S = 20.0
JOBS_REMEMBERED = 1_000


@dataclass(frozen=True)
class Delivery:
    """Bring the initiator of a job everything that is due."""

    job: str


class _Due(NamedTuple):
    """What came of a job.

    Attributes:
        passed: Up to where that goes which our policy keeps here.
        metrics, logs: With their ids.
        moved: How far our sides are, where that changed.
    """

    passed: Mapping[str, int]
    metrics: list[tuple[int, MetricReport]]
    logs: list[tuple[int, LogReport]]
    moved: list[ProgressReport]


class ReportSender:
    """Sends what is due for a job, one call at a time. `clear(job)` closes what is open of a job that we left."""

    def __init__(
        self,
        stance: Stance,
        database: Database,
        rooms: Rooms,
        clear: Callable[[str], None],
        scheduler: Scheduler,
        pauses: Pauses,
    ) -> None:
        self._stance, self._party = stance, stance.party
        self._database = database
        self._cluster = rooms.cluster
        self._peers = PeerCalls(rooms.gateway, database)
        self._clear = clear
        self._scheduler = scheduler
        self._pauses = pauses
        self._postponed: dict[str, Postponed] = {}
        self._heard_of: dict[str, set[str]] = {}  # by job that we left: the parties that were told so
        self._progress_sent: dict[str, int] = {}
        self._log = get_logger("flow")

    def start(self) -> None:
        """Take up what was due before a restart."""
        with self._database.read() as connection:
            rows = connection.execute(select(part.c.job).where(part.c.state != "ended")).all()
        for row in rows:
            self.due(row.job)

    def due(self, job_id: str) -> None:
        """Something is due for the initiator of this job."""
        self._scheduler.poke(Delivery(job_id))

    def deliver(self, key: Delivery) -> float | None:
        """Send what is due. Returns the seconds until it should be tried again, or None."""
        rows = self._database.rows(key.job)
        if rows.part is None or rows.part.state == "ended":
            self._postponed.pop(key.job, None)
            self._heard_of.pop(key.job, None)
            return None
        try:
            if rows.part.state in LEFT:
                self._take_leave(rows)
                return None
            more = self._send(rows)
        except (NotInitiator, JobNotRunning) as error:
            self._log.warning("report.refused", job=key.job, code=error.code, message=error.message)
            return None
        except PlatformError as error:
            self._log.info("report.postponed", job=key.job, code=error.code, message=error.message)
            return self._postpone(key.job, error.message).pause_s
        self._postponed.pop(key.job, None)
        return 0.0 if more else None

    def postponed(self, job_id: str) -> Postponed | None:
        """What is due for the initiator of a job and was not taken; None if the last try was fine."""
        return self._postponed.get(job_id)

    def _postpone(self, job_id: str, why: str) -> Postponed:
        before = self._postponed.get(job_id)
        now = now_ms(self._database.clock)
        pause_s = min(2 * before.pause_s, self._pauses.last_s) if before else self._pauses.first_s
        found = self._postponed[job_id] = Postponed(why, before.since_ms if before else now, pause_s)
        return found

    def _take_leave(self, rows: JobRows) -> None:
        """Of a job that we left: close what is open here, and tell its initiator; neither waits for the other."""
        row = rows.part
        with ExitStack() as both:
            both.callback(self._clear, row.job)
            if row.withdrawal:
                message = Withdrawal(job=row.job, reason=row.withdrawal)
                try:
                    self._ask(row, Method.WITHDRAW, message)
                except Unavailable:
                    if row.job in self._postponed:  # it was not there the last time either
                        self._spread(rows, message)
                    raise
                with self._database.write() as writer:
                    change_part(writer, row.job, withdrawal="")
                self._heard_of.pop(row.job, None)

    def _spread(self, rows: JobRows, message: Withdrawal) -> None:
        """Tell the other parties, once each since our start: who leads the job does not end it for them now."""
        if not rows.job.manifest_digest:
            return  # nothing of it runs anywhere
        told = self._heard_of.setdefault(message.job, set())
        for party in sorted(parties_of(rows) - {self._party, rows.part.initiator} - told):
            try:
                self._peers.ask(party, Method.LEFT, message, Ack, SEND_S)
            except PlatformError as error:
                self._log.info("departure.not_told", job=message.job, party=party, code=error.code)
                if error.retry:
                    continue
            told.add(party)

    def _send(self, rows: JobRows) -> bool:
        """Everything that is due; whether there is more."""
        row = rows.part
        signed = answer_of(rows)
        if row.answer_due:
            self._ask(row, Method.ANSWER, signed)
            with self._database.write() as writer:
                change_part(writer, row.job, answer_due=False)
        ended = [each for each in rows.of(executor) if each.state in REPORTED and not each.reported]
        for each in ended:  # before anybody is told that they ended
            if each.reservation:
                self._cluster.release(each.reservation)
        ours = row.initiator == self._party
        shared = () if ours else self._stance.still_shared(signed.answer.share)
        kept = () if ours else frozenset(signed.answer.share).difference(shared)
        passed, metrics, logs, moved = self._due_of(row, shared, kept)
        self._pass_over(row, passed)
        logs, cut = _within(logs, LOG_BYTES)
        full = cut or len(metrics) == ROWS or len(logs) == ROWS
        sides = (
            () if full else tuple(side_report(r, ours or "logs" in shared) for r in ended)
        )  # an end is the last thing to arrive
        if not (sides or metrics or logs or moved):
            return False
        report = Report(
            job=row.job,
            sides=sides,
            metrics=tuple(m for _, m in metrics),
            logs=tuple(line for _, line in logs),
            progress=tuple(moved),
        )
        self._ask(row, Method.REPORT, report)
        self._cross_off(row, report, metrics[-1][0] if metrics else 0, logs[-1][0] if logs else 0)
        return full

    def _due_of(self, row: Any, shared: Collection[str], kept: Collection[str]) -> _Due:
        """What came meanwhile, after the ends, to have all that came before them."""
        if not shared and not kept:
            return _Due({}, [], [], [])
        with self._database.read() as connection:
            return _Due(
                passed=_newest(connection, row, kept),
                metrics=_metrics(connection, row) if "metrics" in shared else [],
                logs=_logs(connection, row) if "logs" in shared else [],
                moved=self._progress(connection, row.job) if "metrics" in shared else [],
            )

    def _ask(self, row: Any, method: Method, message: Message) -> None:
        self._peers.ask(row.initiator, method, message, Ack, SEND_S)

    def _cross_off(self, row: Any, report: Report, metric_id: int, log_id: int) -> None:
        if report.progress:
            self._remember_progress(row.job, max(item.at_ms for item in report.progress))
        changes: dict[str, object] = {}
        if metric_id:
            changes["metrics_sent"] = metric_id
        if log_id:
            changes["logs_sent"] = log_id
        if not (changes or report.sides):
            return
        with self._database.write() as writer:
            change_part(writer, row.job, **changes)
            by_state: dict[str, list[Key]] = {}
            for told in report.sides:
                by_state.setdefault(told.state, []).append((told.task, told.attempt, told.address))
            for state, keys in by_state.items():
                writer.change(executor, row.job, keys, {"reported": state, "reservation": ""})

    def _remember_progress(self, job_id: str, at_ms: int) -> None:
        self._progress_sent.pop(job_id, None)
        self._progress_sent[job_id] = at_ms
        while len(self._progress_sent) > JOBS_REMEMBERED:  # of a job that was forgotten all is sent once more
            del self._progress_sent[next(iter(self._progress_sent))]

    def _pass_over(self, row: Any, newest: Mapping[str, int]) -> None:
        """Cross off unsent what came while our policy keeps it here, so that it is not sent when it changes again."""
        if newest.get("progress"):
            self._remember_progress(row.job, newest["progress"])
        changes = {f"{what}_sent": newest[what] for what in ("metrics", "logs") if what in newest}
        changes = {name: value for name, value in changes.items() if value > getattr(row, name)}
        if changes:
            with self._database.write() as writer:
                change_part(writer, row.job, **changes)

    def _progress(self, connection: Connection, job_id: str) -> list[ProgressReport]:
        since = self._progress_sent.get(job_id, 0)
        ours = progress.c.address.like(f"%:{self._party}")
        rows = connection.execute(
            select(progress).where(progress.c.job == job_id, progress.c.at_ms > since, ours)
        ).all()
        return [
            ProgressReport(
                task=r.task,
                attempt=r.attempt,
                address=r.address,
                done=r.done,
                total=r.total,
                what=r.what,
                at_ms=r.at_ms,
            )
            for r in rows
        ]


def _newest(connection: Connection, row: Any, kept: Collection[str]) -> dict[str, int]:
    """Up to where our numbers, lines and progress of a job go that our policy keeps here."""
    columns = {"metrics": metric.c.id, "progress": progress.c.at_ms, "logs": log_line.c.id}
    return {
        what: connection.execute(select(func.max(column)).where(column.table.c.job == row.job)).scalar_one() or 0
        for what, column in columns.items()
        if what in kept or (what == "progress" and "metrics" in kept)
    }


def _metrics(connection: Connection, row: Any) -> list[tuple[int, MetricReport]]:
    rows = connection.execute(
        select(metric).where(metric.c.job == row.job, metric.c.id > row.metrics_sent).order_by(metric.c.id).limit(ROWS)
    ).all()
    return [
        (
            r.id,
            MetricReport(
                task=r.task,
                attempt=r.attempt,
                address=f"{r.role}:{r.party}",
                name=r.name,
                step=r.step,
                value=number(r.value, r.special),
                at_ms=r.at_ms,
            ),
        )
        for r in rows
    ]


def _within(logs: list[tuple[int, LogReport]], most: int) -> tuple[list[tuple[int, LogReport]], bool]:
    """The first lines, as many as take so many bytes, one at least; and whether there are more."""
    size = 0
    for i, (_, line) in enumerate(logs):
        size += len(line.model_dump_json().encode())
        if i and size > most:
            return logs[:i], True
    return logs, False


def _logs(connection: Connection, row: Any) -> list[tuple[int, LogReport]]:
    rows = connection.execute(
        select(log_line)
        .where(log_line.c.job == row.job, log_line.c.id > row.logs_sent)
        .order_by(log_line.c.id)
        .limit(ROWS)
    ).all()
    return [
        (
            r.id,
            LogReport(
                task=r.task,
                attempt=r.attempt,
                address=f"{r.role}:{r.party}",
                incarnation=r.incarnation,
                sequence=r.sequence,
                level=r.level,
                text=r.text,
                at_ms=r.at_ms,
            ),
        )
        for r in rows
    ]
