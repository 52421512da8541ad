"""This party's side of a pause: our executors end after their newest checkpoint, and their room is free for others.

What was parked is started by the next order to start that attempt, as its executor's next incarnation. No message is
lost meanwhile: the mailbox holds what came since the checkpoint. The job stays open here, and its limits count on.
"""

from __future__ import annotations

from flow.job.states import AttemptEvent, AttemptState, JobState
from flow.participant.attempts import attempt_of
from flow.participant.job_locks import JobLocks
from flow.protocol.messages import Ack, PauseOrder
from flow.rooms.ports import ClusterPort
from flow.store.database import Database
from flow.store.job_cache import key_of
from flow.store.participations import led_by, refuse_left
from flow.store.tables import executor
from flow.store.transitions import mirror_job, move_each
from flow.store.writer import Writer

_PARKED = {AttemptState.RESERVED: AttemptEvent.GIVEN_BACK, AttemptState.RUNNING: AttemptEvent.PAUSED}


class Pausing:
    """Carries out the initiator's orders to pause a job and to let it go on."""

    def __init__(self, party: str, database: Database, cluster: ClusterPort, locks: JobLocks) -> None:
        self._party = party
        self._database = database
        self._cluster = cluster
        self._locks = locks

    def pause(self, order: PauseOrder, caller: str) -> Ack:
        """Park what runs of a job; or note that it goes on. May be repeated."""
        with self._locks.of(order.job):
            rows = led_by(self._database.rows(order.job), caller)
            refuse_left(rows.part, self._party)
            if rows.part.state != "open":
                return Ack()  # it has ended here
            with self._database.write() as writer:  # first, so that their end is not taken for a loss
                if order.paused:
                    _park(writer, order.job)
                if caller != self._party:
                    state = JobState.PAUSED if order.paused else JobState.RUNNING
                    mirror_job(writer, order.job, state, paused_ms=writer.now_ms if order.paused else None)
            if order.paused:
                self._free(order.job)
            return Ack()

    def _free(self, job_id: str) -> None:
        self._cluster.stop(job_id)
        parked = [row for row in self._database.rows(job_id).of(executor) if row.state == AttemptState.PENDING]
        for row in parked:
            if row.reservation:
                self._cluster.release(row.reservation)
        with self._database.write() as writer:
            keys = [key_of(executor, row) for row in parked]
            writer.change(executor, job_id, keys, {"reservation": "", "node": ""})


def _park(writer: Writer, job_id: str) -> None:
    """Our executors of the job want room once more; whatever the incarnations until now still say is refused."""
    for row in writer.rows(job_id).of(executor):
        if row.state in _PARKED:
            seen = AttemptState(row.state)
            columns = {"incarnation": row.incarnation + 1, "restart_due": False}
            move_each(writer, executor, attempt_of(row), [row.address], seen, [_PARKED[seen]], **columns)
