"""Checkpoints of ended jobs: kept for a time, offered to a job that goes on from them, deleted when it has succeeded.

A job may go on from a job that itself went on from another; what it may use is what this party holds of the whole
line, as far back as its initiator took part. What a job that is not over may use is not deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from flow.errors import EarlierJobRuns, JobInvalid, UnreadableJob
from flow.job.binding import BoundTask
from flow.job.spec import JobSpec
from flow.job.states import JobState
from flow.protocol.messages import KeptSteps
from flow.protocol.resuming import goes_on
from flow.rooms.clock_evidence import Wait
from flow.rooms.ports import StorePort
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows
from flow.store.participations import ended_before, live_jobs, require_part
from runtime.clock import now_ms
from runtime.log import get_logger

SWEEP_S = 60.0
_ANY_MS = (1 << 63) - 1


@dataclass(frozen=True)
class Sweep:
    """Delete the checkpoints whose time is over."""


class CheckpointRetention:
    """What this party keeps of jobs that failed or were stopped. `doubt()` says why our wall clock is not believed."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        store: StorePort,
        keep_s: int,
        doubt: Callable[[], Wait | None],
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._store = store
        self._keep_s = keep_s
        self._doubt = doubt
        self._log = get_logger("flow")

    def offered(self, spec: JobSpec, tasks: Mapping[str, BoundTask]) -> tuple[KeptSteps, ...]:
        """The checkpoints that we hold for our addresses of a job. Raises EarlierJobRuns while that may change."""
        earlier = self._catalogue.earlier(self._database.rows, spec)
        return tuple(kept for rows in earlier for kept in self._held(rows, tasks))

    def job_ended(self, job_id: str, state: JobState) -> None:
        """Clean up after a job. A succeeded one leaves nothing, nor do those of its initiator that it went on from."""
        if state is not JobState.SUCCEEDED:
            (self._store.keep_checkpoints if self._keep_s else self._store.forget)(job_id)
            return
        ended = require_part(self._database.rows(job_id))
        earlier = {rows.job_id for rows in self._earlier(ended) if rows.part.initiator == ended.part.initiator}
        used = self.used(but=job_id) if earlier else set()
        for over in [job_id, *sorted(earlier - used)]:
            self._store.forget(over)

    def sweep(self, _key: Sweep) -> float:
        """Delete what was kept long enough. Returns the seconds until it is time to look again."""
        self._make_room()
        unsure = self._doubt()
        if unsure is not None:
            return min(unsure.seconds, SWEEP_S)
        for job_id in self._over(now_ms(self._database.clock) - self._keep_s * 1000):
            self.forget(job_id)
        return SWEEP_S

    def forget(self, job_id: str) -> bool:
        """Delete the checkpoints of a job that is over; False if a job that is not over may go on from them."""
        if job_id in self.used():  # as it is now: deleting takes its time, and a job may come meanwhile
            return False
        self._store.forget(job_id)
        return True

    def _make_room(self) -> None:
        """Give up checkpoints of jobs that are over, the oldest first, while the disk is short; no clock is asked."""
        if not self._store.job_files.is_short():
            return
        for job_id in self._over(_ANY_MS):
            if not self._store.job_files.is_short():
                return
            if self.forget(job_id):
                self._log.warning("checkpoints.given_up", job=job_id, why="The disk of the store is short of room.")

    def _over(self, before_ms: int) -> list[str]:
        """The jobs that ended before a time and of which there are checkpoints; the oldest first."""
        kept = self._store.checkpointed()
        if not kept:
            return []
        with self._database.read() as connection:
            return sorted(ended_before(connection, kept, before_ms))

    def _held(self, rows: JobRows, tasks: Mapping[str, BoundTask]) -> Iterator[KeptSteps]:
        if rows.part.state not in ("ended", "left"):
            raise EarlierJobRuns(f"Job {rows.job_id} has not ended at {self._party} yet.", hint="It is tried again.")
        try:
            before = self._catalogue.of_job(rows).tasks
        except (JobInvalid, UnreadableJob):  # its components are gone from this release
            return
        for name, task in tasks.items():
            if name not in before or not goes_on(task, before[name]):
                continue
            for address in (address for address in task.addresses if address.party == self._party):
                for attempt, steps in self._store.held(rows.job_id, name, address).items():
                    yield KeptSteps(
                        job=rows.job_id, task=name, attempt=attempt, address=str(address), steps=tuple(steps)
                    )

    def _earlier(self, rows: JobRows) -> list[JobRows]:
        return self._catalogue.earlier(self._database.rows, self._catalogue.spec_of(rows))

    def used(self, but: str = "") -> set[str]:
        """The jobs whose checkpoints a job that is not over may go on from."""
        with self._database.read() as connection:
            names = live_jobs(connection)
        used: set[str] = set()
        for job_id in names:
            if job_id != but:
                with suppress(UnreadableJob):  # such a job does not run
                    used |= {rows.job_id for rows in self._earlier(self._database.rows(job_id))}
        return used
