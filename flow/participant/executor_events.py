"""Reads what executors tell into the store, each event exactly once.

One thread follows the Cluster Manager's stream, one writes down whatever has come meanwhile in one transaction,
together with how far each event log was read; after a restart of whichever room the logs are read on from there. A log
whose last event is stored is acknowledged: its node need not keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from flow.job.states import ENDED_ATTEMPT
from flow.participant.running import (
    differing,
    end_columns,
    restart_pause_s,
    restart_text,
    state_in,
    told_cause,
    unsaved_after,
)
from flow.pauses import Pauses
from flow.protocol.messages import LogReport, MetricReport, ProgressReport
from flow.rooms.ports import ClusterPort
from flow.store.database import Database
from flow.store.job_cache import key_of
from flow.store.participations import count_running, parties_of
from flow.store.tables import executor
from flow.store.telemetry import insert_logs, insert_metrics, put_places, put_progress, read_places
from flow.store.transitions import bring, restart_executor
from flow.store.writer import Writer
from node_manager.client import FINAL, EventKind, ExecutorEvent
from party.ids import AttemptId, JobId, TaskName
from runtime.errors import PlatformError
from runtime.log import get_logger

T = TypeVar("T")

BATCH = 1_000
WAITING = 20_000
REMEMBERED = 1_000
FIRST_PAUSE_S = 0.1
_UNTOLD = (EventKind.STARTED, EventKind.LOG)  # what is not told to the initiator by itself


class EventReader:
    """Follows the stream from `start` to `close`.

    `heard(job)` is called once more than words of a job were stored, `restart(job, pause_s)` where an executor of it
    is to start again.
    """

    def __init__(
        self,
        party: str,
        database: Database,
        cluster: ClusterPort,
        heard: Callable[[str], None],
        restart: Callable[[str, float], None],
        pauses: Pauses,
    ) -> None:
        self._party = party
        self._database = database
        self._cluster = cluster
        self._heard = heard
        self._restart = restart
        self._pauses = pauses
        self._queue: Queue[ExecutorEvent | None] = Queue(WAITING)
        self._closed = Event()
        self._threads: list[Thread] = []
        self._placing = Lock()
        self._since: dict[str, int] | None = None  # what to ask from first; later the store is read again
        self._places: dict[str, int] = {}  # the last sequence recorded, by event log
        self._saved: dict[tuple[str, str, int, str], int] = {}  # the step of the last checkpoint, for words
        self._log = get_logger("flow")

    def start(self) -> None:
        """Go on from where the store says. Raises StoreUnavailable."""
        self._since = self._read_places()
        for target in (self._follow, self._record):
            thread = Thread(target=target, name=f"flow-events{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self, grace_s: float = 2.0) -> None:
        """Read no more. The thread in the stream ends with it; what it still brings is not taken."""
        self._closed.set()
        with suppress(Full):  # then the recorder is busy and sees that we are closed
            self._queue.put_nowait(None)
        self._threads[1].join(grace_s)

    @property
    def places(self) -> Mapping[str, int]:
        """The last sequence recorded, by event log."""
        return self._places

    def _follow(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                since, self._since = self._since if self._since is not None else self._read_places(), None
                for event in self._cluster.events(since):
                    if self._closed.is_set():
                        return
                    self._queue.put(event)
                    pause = FIRST_PAUSE_S
            except (PlatformError, SQLAlchemyError) as error:
                self._log.info("events.interrupted", **_described(error))
            self._closed.wait(pause)
            pause = min(pause * 2, self._pauses.last_follow_s)

    def _read_places(self) -> dict[str, int]:
        """Up to where each log is recorded. What waits to be recorded comes again, and is known then."""
        with self._placing, self._database.write() as writer:
            self._places = read_places(writer)
            return dict(self._places)

    def _record(self) -> None:
        batch: list[ExecutorEvent] = []
        while not self._closed.is_set():
            if not batch:
                batch = self._next_batch()
            if not batch:
                continue
            try:
                self._database.require_room()
                self.take(batch)
                batch = []
            except (PlatformError, SQLAlchemyError) as error:
                self._log.warning("events.not_recorded", **_described(error))
                self._closed.wait(self._pauses.last_follow_s)

    def _next_batch(self) -> list[ExecutorEvent]:
        batch = [self._queue.get()]
        with suppress(Empty):
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        return [event for event in batch if event is not None]

    def take(self, batch: Sequence[ExecutorEvent]) -> None:
        """Store what is new in a batch of events, in one transaction."""
        with self._placing:
            places = dict(self._places)
            by_job: dict[str, list[ExecutorEvent]] = {}
            for event in batch:
                if event.sequence > places.get(event.log, 0):
                    places[event.log] = event.sequence
                    by_job.setdefault(event.job, []).append(event)
            if not by_job:
                return
            known = []
            with self._database.write() as writer:
                for job, events in by_job.items():
                    part = writer.rows(job).part
                    if part is not None:
                        if any(event.kind not in _UNTOLD for event in events):
                            known.append(job)
                        self._take_job(writer, job, events, is_open=part.state == "open")
                        put_places(writer, job, {event.log: event.sequence for event in events})
            self._places = places
        self._acknowledge(event.log for event in batch if event.kind in FINAL)
        for job in known:
            self._heard(job)

    def _acknowledge(self, logs: Iterable[str]) -> None:
        if over := list(logs):
            self._cluster.acknowledge(over)

    def _take_job(self, writer: Writer, job: str, events: Sequence[ExecutorEvent], *, is_open: bool) -> None:
        """Write down the events of a job. Of one that is over here, or that we left, only last words are kept."""
        if is_open:
            count_running(writer, job, self._party)
            insert_metrics(writer, job, self._read(_metric, EventKind.METRIC, events))
            put_progress(writer, job, self._read(_progress, EventKind.PROGRESS, events))
        insert_logs(writer, job, self._read(_log_line, EventKind.LOG, events))
        for event in events:
            row = writer.rows(job).one(executor, event.task, event.attempt, event.address)
            if row is None or row.incarnation != event.incarnation:
                continue
            going_on = is_open and row.state not in ENDED_ATTEMPT
            if event.kind is EventKind.CHECKPOINT:
                self._note_saved(event)
                writer.change(executor, job, [key_of(executor, row)], {"unsaved": 0})
            elif going_on and (unsaved := unsaved_after(event, row.unsaved)):
                text = restart_text(event, row.incarnation + 1, self._saved.get(_side_of(event)))
                insert_logs(writer, job, [_restart_line(event, text)])
                restart_executor(writer, row, unsaved, body={"cause": told_cause(event), "text": text})
                writer.after_commit(partial(self._restart, job, restart_pause_s(unsaved, self._pauses.restart_s)))
            elif state := state_in(event):
                attempt = AttemptId(JobId(event.job), TaskName(event.task), event.attempt)
                columns = end_columns(event, self._party)
                if event.kind is EventKind.FAILED and event.body.get("alike"):
                    columns["differing"] = differing(event, parties_of(writer.rows(job)))
                bring(writer, executor, attempt, [event.address], state, **columns)

    def _note_saved(self, event: ExecutorEvent) -> None:
        self._saved.pop(_side_of(event), None)
        self._saved[_side_of(event)] = int(str(event.body.get("step", 0)))
        while len(self._saved) > REMEMBERED:
            del self._saved[next(iter(self._saved))]

    def _read(self, form: Callable[[ExecutorEvent], T], kind: EventKind, events: Sequence[ExecutorEvent]) -> list[T]:
        """The events of a kind in their form; one that has none is left out, so that it stops no other."""
        found = []
        for event in events:
            if event.kind is kind:
                try:
                    found.append(form(event))
                except (KeyError, ValueError) as problem:
                    self._log.warning("event.unreadable", job=event.job, kind=kind, reason=str(problem)[:200])
        return found


def _described(error: PlatformError | SQLAlchemyError) -> dict[str, str]:
    if isinstance(error, PlatformError):
        return {"code": error.code, "message": error.message}
    return {"code": "flow.database", "message": str(error)[:200]}


def _metric(event: ExecutorEvent) -> MetricReport:
    body = event.body
    return MetricReport(
        task=event.task,
        attempt=event.attempt,
        address=event.address,
        name=str(body["name"]),
        step=int(str(body["step"])),
        value=float(str(body["value"])),
        at_ms=event.at_ms,
    )


def _log_line(event: ExecutorEvent) -> LogReport:
    return LogReport(
        task=event.task,
        attempt=event.attempt,
        address=event.address,
        incarnation=event.incarnation,
        sequence=event.sequence,
        level=str(event.body.get("level", "info")),
        text=str(event.body.get("text", "")),
        at_ms=event.at_ms,
    )


def _side_of(event: ExecutorEvent) -> tuple[str, str, int, str]:
    return event.job, event.task, event.attempt, event.address


def _restart_line(event: ExecutorEvent, text: str) -> LogReport:
    """The party's own word, before the first of the next incarnation."""
    return LogReport(
        task=event.task,
        attempt=event.attempt,
        address=event.address,
        incarnation=event.incarnation + 1,
        sequence=0,
        level="warning",
        text=text,
        at_ms=event.at_ms,
    )


def _progress(event: ExecutorEvent) -> ProgressReport:
    body = event.body
    return ProgressReport(
        task=event.task,
        attempt=event.attempt,
        address=event.address,
        done=int(str(body.get("done", 0))),
        total=int(str(body.get("total", 0))),
        what=str(body.get("what", "")),
        at_ms=event.at_ms,
    )
