"""Our executors that were lost, or whose host is gone, start again in the same attempt, from their last checkpoint.

The next incarnation runs in the room that the lost one had; whatever an older one still says or sends is refused. The
initiator and the other parties wait for it as for one that is slow. What is due stands in the store. One whose host is
gone loses its token before another starts elsewhere, where there is room; if the host comes back, it is ended there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import select

from flow.errors import StartedTooLate
from flow.job.states import ENDED_ATTEMPT, AttemptState
from flow.participant.attempts import Attempts, attempt_of
from flow.participant.job_locks import JobLocks
from flow.rooms.ports import Rooms
from flow.scheduler import Scheduler
from flow.store.database import Database
from flow.store.job_cache import JobRows, key_of
from flow.store.tables import executor
from flow.store.transitions import bring, error_columns, restart_executor, told
from gateway.client import IncarnationOutdated
from node_manager.client import StaleIncarnation
from runtime.errors import PlatformError
from runtime.log import get_logger

LOOK_S = 5.0


@dataclass(frozen=True)
class Restart:
    """Start again what was lost of a job here."""

    job: str


@dataclass(frozen=True)
class LookAtHosts:
    """See whether executors run on hosts that are gone."""


class Restarts:
    """Starts the next incarnations of our executors, a job at a time. `lost(job)` is called where one cannot start."""

    def __init__(
        self,
        party: str,
        database: Database,
        attempts: Attempts,
        rooms: Rooms,
        locks: JobLocks,
        lost: Callable[[str], None],
        scheduler: Scheduler,
    ) -> None:
        self._party = party
        self._database = database
        self._attempts = attempts
        self._gateway, self._cluster = rooms.gateway, rooms.cluster
        self._displaced: set[str] = set()  # reservations of ours that were displaced at the last look
        self._locks = locks
        self._lost = lost
        self._scheduler = scheduler
        self._log = get_logger("flow")

    def start(self) -> None:
        """Take up what was due before this Flow went away."""
        with self._database.read() as connection:
            due = connection.execute(select(executor.c.job).where(executor.c.restart_due).distinct()).scalars().all()
        for job in due:
            self.due(job, 0.0)
        self._scheduler.poke(LookAtHosts())

    def due(self, job: str, pause_s: float) -> None:
        """An executor of this job is to start again after a pause."""
        self._scheduler.poke(Restart(job), pause_s)

    def carry_out(self, key: Restart) -> None:
        """Start again what is due. Raises PlatformError where it has to be tried again."""
        with self._locks.of(key.job):
            rows = self._database.rows(key.job)
            for row in rows.of(executor):
                if row.restart_due:
                    self._restart(rows, row)

    def look(self, _key: LookAtHosts) -> float:
        """Move executors from hosts that are gone, at two looks in a row. Returns the seconds until the next."""
        with self._database.read() as connection:
            running = select(executor.c.job, executor.c.reservation).where(executor.c.state == AttemptState.RUNNING)
            jobs = {row.reservation: row.job for row in connection.execute(running) if row.reservation}
        before, self._displaced = self._displaced, set(self._cluster.displaced()) & jobs.keys() if jobs else set()
        lost = before & self._displaced
        for job in sorted({jobs[reservation] for reservation in lost}):
            with self._locks.of(job):
                self._leave_hosts(job, lost)
        return LOOK_S

    def _leave_hosts(self, job: str, lost: set[str]) -> None:
        """Fence what runs in these reservations, and let its next incarnation be due elsewhere.

        It is due whether or not its room there can be given back now: the same room is found at a later look else.

        What is due already may have been started all the same, where the answer did not come: it is fenced as well.
        """
        rows = self._database.rows(job)
        if rows.part is None or rows.part.state != "open":
            return
        for row in rows.of(executor):
            if row.state == AttemptState.RUNNING and row.reservation in lost:
                newer = row.incarnation + 1
                self._gateway.issue_token(job, row.task, row.attempt, row.address, newer)
                text = f"executor's host {row.node} is gone, starts again elsewhere as incarnation {newer}"
                with self._database.write() as writer:
                    restart_executor(writer, row, max(row.unsaved, 1), body={"cause": "host gone", "text": text})
                    writer.change(executor, job, [key_of(executor, row)], {"reservation": "", "node": ""})
                    writer.after_commit(partial(self.due, job, 0.0))
                self._cluster.release(row.reservation)
                self._log.warning("executor.host_gone", job=job, address=row.address, node=row.node)

    def _restart(self, rows: JobRows, row: Any) -> None:
        try:
            if rows.part.state == "open" and row.state not in ENDED_ATTEMPT:
                self._launch(rows, row)
                self._log.info("executor.restarted", job=row.job, address=row.address, incarnation=row.incarnation)
        except (StaleIncarnation, IncarnationOutdated):
            pass  # it was started before we could write so, or a newer one was
        except PlatformError as error:
            if error.retry:
                raise
            self._give_up(row, error)
        with self._database.write() as writer:
            writer.change(executor, row.job, [key_of(executor, row)], {"restart_due": False})

    def _give_up(self, row: Any, error: PlatformError) -> None:
        with self._database.write() as writer:
            columns = error_columns(told(error, self._party))
            bring(writer, executor, attempt_of(row), [row.address], AttemptState.LOST, retryable=True, **columns)
            writer.after_commit(partial(self._lost, row.job))

    def _launch(self, rows: JobRows, row: Any) -> None:
        """In the room it had, or in another where that is gone."""
        try:
            self._attempts.launch(rows, row)
        except StartedTooLate:
            self._attempts.launch(rows, self._attempts.hold(rows, row))
