"""What the gateway and the nodes of this party have of jobs, compared with what its own database says.

It is looked at at start and every few seconds: any of the three may have lost its store meanwhile. A gateway that lost
its own has no open job: what was said in an attempt cannot be read again there, so our executors of it are lost and
the job is opened once more, for the next attempt. A job that Flow itself knows nothing of is ended here; its initiator
hears, when it asks, that nobody knows it. An initiator that knows nothing of a job is noticed by asking it, and left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import or_, select

from flow.errors import JobForgotten, MessagesLost, NotInitiator
from flow.job.states import AttemptState
from flow.participant.attempts import attempt_of
from flow.participant.job_locks import JobLocks
from flow.participant.launch import contract_for
from flow.participant.leaving import Leaving
from flow.participant.report_sender import Delivery
from flow.protocol.messages import Ack, Method, Report
from flow.rooms.peer_calls import PeerCalls
from flow.rooms.ports import Rooms
from flow.scheduler import Scheduler
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows, key_of
from flow.store.tables import executor, part
from flow.store.transitions import bring, error_columns, told
from runtime.errors import PlatformError
from runtime.log import get_logger

LOOK_EVERY_S = 5.0
ASK_EVERY = 3  # looks
ASK_S = 20.0


@dataclass(frozen=True)
class Reconcile:
    """Compare what is open here with what should be."""


@dataclass(frozen=True)
class AskLeader:
    """Ask the initiator of a job that is open here whether it still knows it."""

    job: str


class Differing(NamedTuple):
    """Jobs that are not alike here and there.

    Attributes:
        lost: Open as Flow knows them, and not at the gateway.
        strange: At the gateway or on a node, and not known to Flow.
    """

    lost: list[str]
    strange: list[str]


def compare(parts: Mapping[str, str], passing: Collection[str], running: Collection[str]) -> Differing:
    """What differs.

    Args:
        parts: The state of our part by job: of all that are open, and of those that follow as far as they are known.
        passing: The jobs that are open at the gateway.
        running: The jobs of which executors run.
    """
    lost = [job for job, state in parts.items() if state == "open" and job not in passing]
    return Differing(sorted(lost), sorted({*passing, *running} - parts.keys()))


class Reconciling:
    """Puts right what differs."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        rooms: Rooms,
        locks: JobLocks,
        leaving: Leaving,
        scheduler: Scheduler,
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._gateway, self._cluster = rooms.gateway, rooms.cluster
        self._locks = locks
        self._leaving = leaving
        self._scheduler = scheduler
        self._peers = PeerCalls(rooms.gateway, database)
        self._looks = 0
        self._log = get_logger("flow")

    def look(self, _key: Reconcile) -> float:
        """Compare and put right. Returns the seconds until the next look. Raises PlatformError where a room is down."""
        passing = self._gateway.jobs()
        running = {name.partition("/")[0] for node in self._cluster.nodes() for name in node.executors}
        parts = self._parts({*passing, *running})
        found = compare({job: row.state for job, row in parts.items()}, passing, running)
        for jobs, mend in ((found.lost, self._open_again), (found.strange, self._end_strange)):
            for job in jobs:
                try:
                    with self._locks.of(job):
                        mend(job)
                except PlatformError as error:  # at the next look
                    self._log.warning("job.not_reconciled", job=job, code=error.code, message=error.message)
        self._looks += 1
        if self._looks % ASK_EVERY == 0:
            for job in (job for job, row in parts.items() if row.state == "open" and row.initiator != self._party):
                self._scheduler.poke(AskLeader(job))
        return LOOK_EVERY_S

    def ask(self, key: AskLeader) -> None:
        """Leave a job that its initiator does not know; one that does not answer is asked again in its turn."""
        row = self._database.rows(key.job).part
        try:
            self._peers.ask(row.initiator, Method.REPORT, Report(job=key.job), Ack, ASK_S)
        except NotInitiator:
            why = f"{row.initiator}, which led it, knows nothing of it any more: it lost its database."
            self._leaving.leave(key.job, why, JobForgotten.code)
        except PlatformError as error:
            self._log.info("leader.not_asked", job=key.job, code=error.code)

    def _parts(self, jobs: Collection[str]) -> dict[str, Any]:
        query = select(part.c.job, part.c.state, part.c.initiator).where(
            or_(part.c.state == "open", part.c.job.in_(jobs))
        )
        with self._database.read() as connection:
            return {row.job: row for row in connection.execute(query)}

    def _open_again(self, job: str) -> None:
        rows = self._database.rows(job)
        if rows.part is None or rows.part.state != "open" or job in self._gateway.jobs():
            return  # it was ended or opened meanwhile
        self._log.error("gateway.store_lost", job=job)
        manifest, tasks = self._catalogue.agreed(rows)
        self._note_lost(rows)
        self._cluster.stop(job)
        self._gateway.open_job(contract_for(manifest, tasks, self._party))
        self._scheduler.poke(Delivery(job))

    def _note_lost(self, rows: JobRows) -> None:
        """Our executors that run are lost, whatever becomes of them, before anybody is told that they ended."""
        error = MessagesLost(
            f"The gateway of {self._party} lost its store, and with it messages of what ran.",
            hint="Nothing to do: the task is tried again.",
        )
        columns = error_columns(told(error, self._party))
        with self._database.write() as writer:
            for row in rows.of(executor):
                if row.state == AttemptState.RUNNING:
                    bring(
                        writer, executor, attempt_of(row), [row.address], AttemptState.LOST, retryable=True, **columns
                    )
                    writer.change(executor, row.job, [key_of(executor, row)], {"restart_due": False})

    def _end_strange(self, job: str) -> None:
        if self._database.rows(job).part is not None:
            return
        self._log.error("job.strange", job=job)
        self._cluster.end_job(job)
        if job in self._gateway.jobs():
            self._gateway.close_job(job)
