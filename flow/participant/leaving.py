"""This party leaves a job that another party leads, whatever that one says: a person said so, or its time is up.

Nothing of a job that was left passes our door any more, nothing of it runs or holds room, and every later order for it
is refused. The manifest's limits are kept here as well: an initiator that lets a job run on is not followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from flow.doors import ClusterDoor, GatewayDoor
from flow.errors import TimedOut
from flow.job_state import ENDED_JOB, JobState
from flow.own_clock import OwnClock
from flow.participant.keeping import Keeping
from flow.participant.limits import Passed, confirm, judge
from flow.participant.turns import Turns
from flow.scheduler import Scheduler
from flow.store.database import Database
from flow.store.moves import cancel_open, mirror_job
from flow.store.parts import LEFT, cancel_executors, change_part, find_part, live_parts, part_of, spec_of
from flow.store.tables import job
from flow.texts import shortened
from flow.views import ErrorView
from flow.witnesses import Wait
from runtime.errors import PlatformError
from runtime.log import get_logger

GRACE_S = 60.0  # what the initiator may be late
MOST_WHY_CHARS = 1_000


@dataclass(frozen=True)
class Limit:
    """See whether a job of another party has had its time here."""

    job: str


class Leaving:
    """Leaves jobs. `withdrawal_due(job)` is called when the initiator wants to be told."""

    def __init__(
        self,
        party: str,
        database: Database,
        doors: tuple[GatewayDoor, ClusterDoor],
        keeping: Keeping,
        turns: Turns,
        withdrawal_due: Callable[[str], None],
    ) -> None:
        self._party = party
        self._database = database
        self._gateway, self._cluster = doors
        self._keeping = keeping
        self._turns = turns
        self._own_clock = OwnClock(database.clock, self._gateway)
        self._watched: dict[str, tuple[float, float]] = {}  # by job: since when, and how long it was here before that
        self._scheduler: Scheduler | None = None
        self._withdrawal_due = withdrawal_due
        self._log = get_logger("flow")

    def start(self, scheduler: Scheduler) -> None:
        """Keep the limits of every job that is not over."""
        self._scheduler = scheduler
        with self._database.read() as connection:
            names = [row.job for row in live_parts(connection)]
        for name in names:
            self.watch(name)

    def watch(self, name: str) -> None:
        """Keep the limits of a job that we agreed to or that waits for a person of ours."""
        if self._scheduler is not None:
            self._scheduler.poke(Limit(name))

    def leave(self, name: str, reason: str, code: str = "flow.party_left", told: str = "") -> None:
        """Leave a job, at once here; its initiator is told as soon as it can be. A job that is over stays so.

        Args:
            name: The job.
            reason: Why, in the words for our own people.
            code: The same as a code.
            told: Why, in the words for other parties, where those are others.
        """
        with self._turns.of(name):
            why = str(shortened(reason, MOST_WHY_CHARS))
            if not self._note(name, why, told or why, code):
                return
            try:
                self.clear_held(name)
            except PlatformError as error:  # it is done again with the news to the initiator
                self._log.warning("job.not_cleared", job=name, code=error.code, message=error.message)

    def clear(self, name: str) -> None:
        """Close what is still open of a job that was left. May be repeated."""
        with self._turns.of(name):
            self.clear_held(name)

    def check(self, key: Limit) -> float | None:
        """Leave a job that has had its time. Returns the seconds until it is time to look again."""
        with self._database.read() as connection:
            row = find_part(connection, key.job)
        if row is None or row.initiator == self._party or row.state in ("ended", "refused", *LEFT) or not row.since_ms:
            self._watched.pop(key.job, None)
            return None
        settings, passed = spec_of(row).settings, self._passed(row)
        found = judge(settings, passed, GRACE_S) or confirm(settings, passed, self._own_clock.witnesses())
        if isinstance(found, Wait):
            if found.doubt:
                self._log.warning("job.limit_doubted", job=key.job, why=found.doubt)
            return found.seconds
        self.leave(key.job, f"{found.said}, and {row.initiator} has not ended it.", TimedOut.code)
        return None

    def _note(self, name: str, reason: str, told: str, code: str) -> bool:
        """Write down that we leave; False if the job is over here."""
        with self._database.write() as writer:
            state = writer.run(select(job.c.state).where(job.c.id == name)).scalar_one()
            row = part_of(writer.connection, name)
            if state in ENDED_JOB or row.state in ("ended", *LEFT):
                return False
            message = f"{self._party} left the job. {reason}"
            mirror_job(writer, name, JobState.CANCELLED, ErrorView(code=code, message=message, party=self._party))
            cancel_executors(writer, name)
            cancel_open(writer, name)
            change_part(writer, name, state="leaving", left_why=reason, withdrawal=told, answer_due=False)
            writer.event("party.left", name, place=("", 0, self._party), body={"reason": reason})
            writer.after_commit(lambda: self._withdrawal_due(name))
        return True

    def clear_held(self, name: str) -> None:
        """The same for who has the job's turn."""
        with self._database.read() as connection:
            row = part_of(connection, name)
        if row.state != "leaving":
            return
        with ExitStack() as each:  # the next one is done even where the one before it is not
            each.callback(self._keeping.job_ended, name, JobState.CANCELLED)
            each.callback(self._cluster.end_job, name)
            each.callback(self._cluster.stop, name)
            self._gateway.close_job(name)
        with self._database.write() as writer:
            change_part(writer, name, state="left")

    def _passed(self, row: Row[Any]) -> Passed:
        """How long a job has been here; before this start the least that the wall clock has said since."""
        clock = self._database.clock
        began_s, before_s = self._watched.get(row.job, (clock.monotonic(), math.inf))
        watched_s = clock.monotonic() - began_s
        before_s = min(before_s, max(0.0, clock.now().timestamp() - row.since_ms / 1000 - watched_s))
        self._watched[row.job] = (began_s, before_s)
        return Passed(row.ran_ms / 1000, watched_s, before_s)
