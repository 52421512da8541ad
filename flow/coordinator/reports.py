"""What is written down of what parties tell of their sides: what they agreed to share, and so much of each side.

A report is sifted before the store is locked for it, so that a flood of what is not taken holds up nobody, and once
more inside, where what is stored can no longer change. What is left out is counted in the log and told as one event.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

from flow.coordinator.apply_plan import PlanApplier, note_running
from flow.errors import BadMessage, JobNotRunning, NotInitiator
from flow.job.states import ENDED_JOB, AttemptState, JobState
from flow.protocol.messages import LogReport, MetricReport, ProgressReport, Report, SideReport, SignedAnswer
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows
from flow.store.stored import stored
from flow.store.tables import attempt, job_party, log_line, metric, side
from flow.store.telemetry import Place, Stored, amount, insert_logs, insert_metrics, put_progress
from flow.store.transitions import bring, error_columns, way
from flow.store.writer import Writer
from node_manager.client import MOST_BYTES, MOST_EVENTS
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.log import get_logger

REMEMBERED = 10_000
NOT_SHARED, TOO_MUCH = "not shared", "too much"
_OWN_TO_DECIDE = (AttemptState.PENDING, AttemptState.RESERVED, AttemptState.CANCELLED)  # the initiator's own


Told = SideReport | MetricReport | LogReport | ProgressReport
T = TypeVar("T", MetricReport, LogReport)
V = TypeVar("V")


def led_with(rows: JobRows, party: str, caller: str) -> JobRows:
    """A job that the party leads and the caller takes part in.

    Raises NotInitiator, which says the same to an outsider as of a job that does not exist.
    """
    if rows.job is None or rows.job.initiator != party or rows.one(job_party, caller) is None:
        raise NotInitiator(f"{party} leads no job {rows.job_id} with {caller}.")
    return rows


def place_of(item: Told) -> Place:
    """Which side of which attempt it tells of."""
    return item.task, item.attempt, item.address


def within(items: Sequence[T], had: Callable[[Place], Stored], size: Callable[[T], int]) -> list[T]:
    """The items that fit into what may be kept of each side of an attempt, beside what it has told before."""
    used: dict[Place, Stored] = {}
    kept = []
    for item in items:
        place = place_of(item)
        rows, taken = used[place] if place in used else had(place)
        if rows < MOST_EVENTS and taken + size(item) <= MOST_BYTES:
            rows, taken = rows + 1, taken + size(item)
            kept.append(item)
        used[place] = Stored(rows, taken)
    return kept


class Reports:
    """Takes reports down. Safe to use from several threads."""

    def __init__(self, party: str, database: Database, catalogue: Catalogue, applier: PlanApplier) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._applier = applier
        self._shares: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self._moved: OrderedDict[tuple[str, Place], int] = OrderedDict()
        self._told: OrderedDict[tuple[str, str, str], bool] = OrderedDict()
        self._lock = Lock()
        self._log = get_logger("flow")

    def take(self, report: Report, caller: str) -> None:
        """Write a report down.

        Raises:
            NotInitiator: We do not lead the job, or the caller is not in it.
            BadMessage: It tells of a side that is not the caller's, or of an attempt that was not begun.
            JobNotRunning: The job is not agreed on yet; or it has ended, and the caller has acknowledged that.
        """
        rows = self._database.rows(report.job)
        with self._database.read() if report.metrics or report.logs else nullcontext() as connection:
            kept, left_out = self._sifted(rows, connection, report, caller)
        untold = self._new(report.job, caller, left_out)
        if not untold and not (kept.sides or kept.metrics or kept.logs or kept.progress):
            return
        with self._applier.write(report.job) if kept.sides else self._database.write() as writer:
            kept, _ = self._sifted(writer.rows(report.job), writer.connection, kept, caller)
            self._write(writer, kept)
            for why in untold:
                body = {"why": why, "rows": left_out[why]}
                writer.event("report.left_out", report.job, place=("", 0, caller), body=body)
            for item in kept.sides:
                self._side(writer, report.job, item, caller)

    def _sifted(
        self, rows: JobRows, connection: Connection | None, report: Report, caller: str
    ) -> tuple[Report, Counter[str]]:
        """What is taken of a report, and how many rows are left out for which reason. Raises as `take`.

        `connection` may be missing if there are no numbers and no lines.
        """
        self._require_running(rows, caller)
        self._refuse_strangers(rows, report, caller)
        shares = self._shared(rows, caller)
        metrics, progress = (report.metrics, report.progress) if "metrics" in shares else ((), ())
        logs = report.logs if "logs" in shares else ()
        told = sum(map(len, (report.metrics, report.progress, report.logs)))
        left_out = Counter({NOT_SHARED: told - sum(map(len, (metrics, progress, logs)))})

        def had(table: Table) -> Callable[[Place], Stored]:
            return lambda at: amount(connection, table, rows.job_id, at) if connection is not None else Stored(0, 0)

        few = report.model_copy(
            update={
                "metrics": tuple(within(metrics, had(metric), lambda _: 0)),
                "logs": tuple(within(logs, had(log_line), lambda n: len(n.text.encode()))),
                "progress": tuple(item for item in _last(progress) if self._may_move(rows.job_id, item)),
                "sides": tuple(_moving(rows, caller, report.sides)),
            }
        )
        left_out[TOO_MUCH] = len(metrics) + len(logs) - len(few.metrics) - len(few.logs)
        left_out[TOO_MUCH] += len(_last(progress)) - len(few.progress)
        return few, +left_out

    def _write(self, writer: Writer, report: Report) -> None:
        """Numbers, lines and progress."""
        job_id = report.job
        insert_metrics(writer, job_id, report.metrics)
        insert_logs(writer, job_id, report.logs)
        put_progress(writer, job_id, report.progress)
        with self._lock:
            for item in report.progress:
                key = (job_id, place_of(item))
                _remember(self._moved, key, self._moved.get(key, 0) + 1)

    def _may_move(self, job_id: str, item: ProgressReport) -> bool:
        with self._lock:
            moved: int = self._moved.get((job_id, place_of(item)), 0)
        return moved < MOST_EVENTS

    def _shared(self, rows: JobRows, caller: str) -> frozenset[str]:
        """What a party's signed answer shares with us; it does not change once the job is agreed on."""
        job_id = rows.job_id
        with self._lock:
            known = self._shares.get((job_id, caller))
        if known is None:
            text = rows.one(job_party, caller).answer
            known = frozenset(stored(SignedAnswer, job_id, text).answer.share) if text else frozenset()
            with self._lock:
                _remember(self._shares, (job_id, caller), known)
        return known

    def _new(self, job_id: str, caller: str, left_out: Counter[str]) -> list[str]:
        """Count what was left out in the log; the reasons that were not told yet of this party in this job."""
        for why, rows in left_out.items():
            self._log.warning("report.left_out", job=job_id, peer=caller, why=why, rows=rows)
        with self._lock:
            new = [why for why in left_out if (job_id, caller, why) not in self._told]
            for why in new:
                _remember(self._told, (job_id, caller, why), True)
        return new

    def _require_running(self, rows: JobRows, caller: str) -> None:
        """A party that has not heard of the end may still have something to tell; one that has, has told all."""
        state = led_with(rows, self._party, caller).job.state
        if state == JobState.WAITING:
            raise JobNotRunning(f"Job {rows.job_id} is not agreed on yet.")
        if state in ENDED_JOB and rows.one(job_party, caller).closed:
            raise JobNotRunning(f"Job {rows.job_id} has ended.")

    def _refuse_strangers(self, rows: JobRows, report: Report, caller: str) -> None:
        """Raises BadMessage for a side that is not the caller's in the job, or an attempt that was not begun."""
        items: tuple[Told, ...] = (*report.sides, *report.metrics, *report.logs, *report.progress)
        told = {place_of(item) for item in items}
        if any(Address.parse(address).party != caller for _, _, address in told):
            raise BadMessage(f"{caller} reports about sides of another party in job {report.job}.")
        tasks = self._catalogue.of_job(rows).tasks
        for task, _, address in sorted(told):
            if task not in tasks or Address.parse(address) not in tasks[task].addresses:
                raise BadMessage(
                    f"{caller} reports about {address} in task '{task}', which is not in job {report.job}."
                )
        for task, number, _ in sorted(told):
            if rows.one(attempt, task, number) is None:
                raise BadMessage(f"{caller} reports about attempt {number} of task '{task}', which was not begun.")

    def _side(self, writer: Writer, job_id: str, told: SideReport, caller: str) -> None:
        tried = AttemptId(JobId(job_id), TaskName(told.task), told.attempt)
        error = told.error.model_copy(update={"party": caller}) if told.error else None
        columns = {**error_columns(error), "retryable": told.retryable}
        last = columns if told.state is not AttemptState.RUNNING else {}
        if bring(writer, side, tried, [told.address], told.state, **last):
            note_running(writer, tried)


def _last(progress: Iterable[ProgressReport]) -> list[ProgressReport]:
    """Of each side the last word."""
    return list({place_of(item): item for item in progress}.values())


def _moving(rows: JobRows, caller: str, sides: Sequence[SideReport]) -> list[SideReport]:
    """Those that would change what is known of a side, each side once."""
    moving: dict[Place, SideReport] = {}
    for item in sides:
        row = rows.one(side, *place_of(item))
        known = row is not None and row.party == caller
        if known and item.state not in _OWN_TO_DECIDE and way(AttemptState(row.state), item.state):
            moving[place_of(item)] = item
    return list(moving.values())


def _remember(book: OrderedDict[Any, V], key: Hashable, value: V) -> None:
    book[key] = value
    book.move_to_end(key)
    while len(book) > REMEMBERED:
        book.popitem(last=False)
