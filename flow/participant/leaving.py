"""This party leaves a job that another party leads, whatever that one says: a person said so, or its time is up.

Nothing of a job that was left passes our door any more, nothing of it runs or holds room, and every later order for it
is refused. The manifest's limits are kept here as well: an initiator that lets a job run on is not followed.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from flow.errors import TimedOut
from flow.job.states import ENDED_JOB, JobState
from flow.job.texts import shortened
from flow.participant.checkpoint_retention import CheckpointRetention
from flow.participant.job_locks import JobLocks
from flow.participant.limits import Passed, confirm, judge
from flow.participant.report_sender import Delivery
from flow.rooms.clock_evidence import Wait
from flow.rooms.own_clock import OwnClock
from flow.rooms.ports import Rooms
from flow.scheduler import Scheduler
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.participations import LEFT, change_part, live_jobs, require_part
from flow.store.proposal_limits import forget_refused
from flow.store.transitions import cancel_executors, cancel_open, mirror_job
from flow.views.jobs import ErrorView
from runtime.errors import PlatformError
from runtime.log import get_logger

GRACE_S = 60.0  # what the initiator may be late
MOST_WHY_CHARS = 1_000


@dataclass(frozen=True)
class Limit:
    """See whether a job of another party has had its time here."""

    job: str


class Leaving:
    """Leaves jobs."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        rooms: Rooms,
        retention: CheckpointRetention,
        locks: JobLocks,
        scheduler: Scheduler,
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._gateway, self._cluster = rooms.gateway, rooms.cluster
        self._retention = retention
        self._locks = locks
        self._own_clock = OwnClock(database.clock, self._gateway)
        self._watched: dict[str, tuple[float, float]] = {}  # by job: since when, and how long it was here before that
        self._scheduler = scheduler
        self._log = get_logger("flow")

    def start(self) -> None:
        """Keep the limits of every job that is not over."""
        with self._database.read() as connection:
            names = live_jobs(connection)
        for job_id in names:
            self._scheduler.poke(Limit(job_id))

    def leave(self, job_id: str, reason: str, code: str = "flow.party_left", told: str = "") -> None:
        """Leave a job, at once here; its initiator is told as soon as it can be. A job that is over stays so.

        Args:
            job_id: The job.
            reason: Why, in the words for our own people.
            code: The same as a code.
            told: Why, in the words for other parties, where those are others.
        """
        with self._locks.of(job_id):
            why = str(shortened(reason, MOST_WHY_CHARS))
            if not self._note(job_id, why, told or why, code):
                return
            try:
                self.clear_held(job_id)
            except PlatformError as error:  # it is done again with the news to the initiator
                self._log.warning("job.not_cleared", job=job_id, code=error.code, message=error.message)

    def clear(self, job_id: str) -> None:
        """Close what is still open of a job that was left. May be repeated."""
        with self._locks.of(job_id):
            self.clear_held(job_id)

    def check(self, key: Limit) -> float | None:
        """Leave a job that has had its time. Returns the seconds until it is time to look again."""
        rows = self._database.rows(key.job)
        row = rows.part
        if row is None or row.initiator == self._party or row.state in ("ended", "refused", *LEFT) or not row.since_ms:
            self._watched.pop(key.job, None)
            return None
        settings, passed = self._catalogue.spec_of(rows).settings, self._passed(row)
        found = judge(settings, passed, GRACE_S) or confirm(settings, passed, self._own_clock.evidence())
        if isinstance(found, Wait):
            if found.doubt:
                self._log.warning("job.limit_doubted", job=key.job, why=found.doubt)
            return found.seconds
        self.leave(key.job, f"{found.said}, and {row.initiator} has not ended it.", TimedOut.code)
        return None

    def _note(self, job_id: str, reason: str, told: str, code: str) -> bool:
        """Write down that we leave; False if the job is over here."""
        with self._database.write() as writer:
            rows = require_part(writer.rows(job_id))
            if rows.job.state in ENDED_JOB or rows.part.state in ("ended", *LEFT):
                return False
            message = f"{self._party} left the job. {reason}"
            mirror_job(writer, job_id, JobState.CANCELLED, ErrorView(code=code, message=message, party=self._party))
            cancel_executors(writer, job_id)
            cancel_open(writer, job_id)
            change_part(writer, job_id, state="leaving", left_why=reason, withdrawal=told, answer_due=False)
            writer.event("party.left", job_id, place=("", 0, self._party), body={"reason": reason})
            writer.after_commit(lambda: self._scheduler.poke(Delivery(job_id)))
        return True

    def clear_held(self, job_id: str) -> None:
        """The same for who has the job's turn."""
        rows = require_part(self._database.rows(job_id))
        if rows.part.state != "leaving":
            return
        with ExitStack() as each:  # the next one is done even where the one before it is not
            each.callback(self._retention.job_ended, job_id, JobState.CANCELLED)
            each.callback(self._cluster.end_job, job_id)
            each.callback(self._cluster.stop, job_id)
            self._gateway.close_job(job_id)
        with self._database.write() as writer:
            change_part(writer, job_id, state="left")
            if not rows.job.manifest_digest:
                forget_refused(writer, rows.job.initiator)

    def _passed(self, row: Any) -> Passed:
        """How long a job has been here; before this start the least that the wall clock has said since."""
        clock = self._database.clock
        began_s, before_s = self._watched.get(row.job, (clock.monotonic(), math.inf))
        watched_s = clock.monotonic() - began_s
        before_s = min(before_s, max(0.0, clock.now().timestamp() - row.since_ms / 1000 - watched_s))
        self._watched[row.job] = (began_s, before_s)
        return Passed(row.ran_ms / 1000, watched_s, before_s)
