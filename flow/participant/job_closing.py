"""The end of a job at this party: nothing of it runs, waits, is staged or holds room afterwards.

Checkpoints of a job that did not succeed stay for a while: see `flow.participant.checkpoint_retention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flow.errors import BadMessage, UnknownJob
from flow.job.states import ENDED_ATTEMPT, AttemptState, JobState
from flow.participant.checkpoint_retention import CheckpointRetention
from flow.participant.job_locks import JobLocks
from flow.participant.leaving import Leaving
from flow.participant.running import REPORTED, side_report
from flow.protocol.messages import Ack, EndOrder, JobOrder, Report, Withdrawal
from flow.protocol.policy import Stance
from flow.rooms.ports import Rooms
from flow.store.database import Database
from flow.store.participations import LEFT, answer_of, change_part, led_by, parties_of, refuse_left, require_part
from flow.store.proposal_limits import forget_refused
from flow.store.tables import executor, job
from flow.store.transitions import cancel_executors, cancel_open, error_of, mirror_job
from flow.store.writer import Writer
from flow.views.jobs import ErrorView


class JobClosing:
    """Ends jobs here and answers probes."""

    def __init__(
        self,
        stance: Stance,
        database: Database,
        rooms: Rooms,
        retention: CheckpointRetention,
        leaving: Leaving,
        locks: JobLocks,
    ) -> None:
        self._stance, self._party = stance, stance.party
        self._database = database
        self._gateway, self._cluster = rooms.gateway, rooms.cluster
        self._retention = retention
        self._leaving = leaving
        self._locks = locks

    def end(self, order: EndOrder, caller: str) -> Ack:
        """The job is over. Raises UnknownJob if it is not known here, and will not be if its proposal is on its way."""
        with self._locks.of(order.job):
            try:
                return self._end(order, caller)
            except UnknownJob:
                self._locks.end_unknown(order.job, caller)
                raise

    def _end(self, order: EndOrder, caller: str) -> Ack:
        rows = led_by(self._database.rows(order.job), caller)
        if rows.part.state == "ended":
            return Ack()
        if rows.part.state in LEFT:
            return self._end_left(order)
        if any(row.state not in ENDED_ATTEMPT for row in rows.of(executor)):
            with self._database.write() as writer:  # first, so that their end is not taken for a loss
                self._note_end(writer, order, caller)
            self._cluster.stop(order.job)
        if rows.part.state == "open":
            self._cluster.end_job(order.job)
            self._gateway.close_job(order.job)
            self._retention.job_ended(order.job, order.state)
        with self._database.write() as writer:
            self._note_end(writer, order, caller, closed=True)
            change_part(writer, order.job, state="ended", answer_due=False, withdrawal="")
            if caller != self._party:
                self._close(writer, order.job)
                if not rows.job.manifest_digest:
                    forget_refused(writer, caller)
        return Ack()

    def _note_end(self, writer: Writer, order: EndOrder, caller: str, **extra: object) -> None:
        """What runs is cancelled; the job has ended as the leading party says."""
        ran = writer.rows(order.job).of(executor)
        cancel_executors(writer, order.job)
        if caller != self._party:
            mirror_job(writer, order.job, order.state, self._in_full(order.error, ran, caller), **extra)
            cancel_open(writer, order.job, {(each.task, each.attempt): each.state for each in order.attempts})

    def _end_left(self, order: EndOrder) -> Ack:
        """The end of a job that we left: how it ended for the others is how it ended, unless they claim success."""
        self._leaving.clear_held(order.job)
        with self._database.write() as writer:
            if order.state in (JobState.CANCELLED, JobState.FAILED):
                writer.change(job, order.job, [()], {"state": order.state})
            change_part(writer, order.job, state="ended", withdrawal="")
            self._close(writer, order.job)
        return Ack()

    def _close(self, writer: Writer, job_id: str) -> None:
        writer.change(job, job_id, [()], {"closed": True})
        writer.event("job.closed", job_id)

    def _in_full(self, error: ErrorView | None, ran: Sequence[Any], caller: str) -> ErrorView | None:
        """The error that ended the job; with our own words if it is ours, which left only as a code.

        What is told as ours and is not known here is the caller's word.
        """
        if error is None or error.party != self._party:
            return error
        ours = (error_of(row) for row in ran)
        told = error.model_copy(update={"party": caller})
        return next((own for own in ours if own is not None and own.code == error.code), told)

    def departed(self, told: Withdrawal, caller: str) -> Ack:
        """Another party left the job, and its initiator does not hear of it: so do we, and tell it when it returns.

        Raises UnknownJob unless the caller takes part in the job, and BadMessage where the initiator is one of us two.
        """
        rows = require_part(self._database.rows(told.job))
        if caller not in parties_of(rows):
            raise UnknownJob(f"There is no job {told.job} here.")  # as where there is none
        if rows.part.initiator in (caller, self._party):
            raise BadMessage(f"{caller} tells {self._party} that it left job {told.job}, which one of them leads.")
        if rows.part.state in ("agreed", "open"):
            self._leaving.leave(told.job, f"{caller} left it. {told.reason}".rstrip())
        return Ack()

    def probe(self, order: JobOrder, caller: str) -> Report:
        """Where our sides are."""
        rows = led_by(self._database.rows(order.job), caller)
        refuse_left(rows.part, self._party)
        shown = (*REPORTED, AttemptState.RUNNING)
        shared = caller == self._party or "logs" in self._stance.still_shared(answer_of(rows).answer.share)
        return Report(job=order.job, sides=tuple(side_report(r, shared) for r in rows.of(executor) if r.state in shown))
