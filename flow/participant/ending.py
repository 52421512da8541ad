"""The end of a job at this party: nothing of it runs, waits, is staged or holds room afterwards.

Checkpoints of a job that did not succeed stay for a while: see `flow.participant.keeping`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Row

from flow.doors import ClusterDoor, GatewayDoor
from flow.errors import UnknownJob
from flow.job_state import ENDED_ATTEMPT, AttemptState, JobState
from flow.messages import Ack, Answer, EndOrder, JobOrder, Report, SignedAnswer
from flow.participant.keeping import Keeping
from flow.participant.leaving import Leaving
from flow.participant.running import REPORTED, side_news
from flow.participant.turns import Turns
from flow.store.database import Database
from flow.store.moves import cancel_open, error_of, mirror_job
from flow.store.parts import LEFT, cancel_executors, change_part, executors, part_led_by, refuse_left
from flow.store.stored import stored
from flow.store.tables import job
from flow.views import ErrorView


class Ending:
    """Ends jobs here and answers probes."""

    def __init__(
        self,
        party: str,
        database: Database,
        doors: tuple[GatewayDoor, ClusterDoor],
        keeping: Keeping,
        leaving: Leaving,
        turns: Turns,
    ) -> None:
        self._party = party
        self._database = database
        self._gateway, self._cluster = doors
        self._keeping = keeping
        self._leaving = leaving
        self._turns = turns
        self.still_shared: Callable[[Answer], Collection[str]]  # of what we agreed to share

    def end(self, order: EndOrder, caller: str) -> Ack:
        """The job is over. Raises UnknownJob if it is not known here, and will not be if its proposal is on its way."""
        with self._turns.of(order.job):
            try:
                return self._end(order, caller)
            except UnknownJob:
                self._turns.end_unknown(order.job, caller)
                raise

    def _end(self, order: EndOrder, caller: str) -> Ack:
        with self._database.read() as connection:
            row = part_led_by(connection, order.job, caller)
            ran = executors(connection, order.job)
        if row.state == "ended":
            return Ack()
        if row.state in LEFT:
            return self._end_left(order)
        with self._database.write() as writer:
            cancel_executors(writer, order.job)
            if caller != self._party:
                mirror_job(writer, order.job, order.state, self._in_full(order.error, ran))
                cancel_open(writer, order.job, {(each.task, each.attempt): each.state for each in order.attempts})
        if any(executor.state not in ENDED_ATTEMPT for executor in ran):
            self._cluster.stop(order.job)
        if row.state == "open":
            self._cluster.end_job(order.job)
            self._gateway.close_job(order.job)
            self._keeping.job_ended(order.job, order.state)
        with self._database.write() as writer:
            change_part(writer, order.job, state="ended", answer_due=False, withdrawal="")
            if caller != self._party:
                writer.run(job.update().where(job.c.id == order.job).values(closed=True))
                writer.event("job.closed", order.job)
        return Ack()

    def _end_left(self, order: EndOrder) -> Ack:
        """The end of a job that we left: how it ended for the others is how it ended, unless they claim success."""
        self._leaving.clear_held(order.job)
        with self._database.write() as writer:
            changes: dict[str, object] = {"closed": True}
            if order.state in (JobState.CANCELLED, JobState.FAILED):
                changes["state"] = order.state
            writer.run(job.update().where(job.c.id == order.job).values(changes))
            change_part(writer, order.job, state="ended", withdrawal="")
            writer.event("job.closed", order.job)
        return Ack()

    def _in_full(self, error: ErrorView | None, ran: Sequence[Row[Any]]) -> ErrorView | None:
        """The error that ended the job; with our own words if it is ours, which left only as a code."""
        if error is None or error.party != self._party:
            return error
        ours = (error_of(row) for row in ran)
        return next((own for own in ours if own is not None and own.code == error.code), error)

    def probe(self, order: JobOrder, caller: str) -> Report:
        """Where our sides are."""
        with self._database.read() as connection:
            row = part_led_by(connection, order.job, caller)
            ran = executors(connection, order.job)
        refuse_left(row, self._party)
        shown = (*REPORTED, AttemptState.RUNNING)
        agreed = stored(SignedAnswer, row.job, row.answer).answer
        shared = caller == self._party or "logs" in self.still_shared(agreed)
        return Report(job=order.job, sides=tuple(side_news(r, shared) for r in ran if r.state in shown))
