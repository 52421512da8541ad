"""Checkpoints of ended jobs: kept for a time, offered to a job that goes on from them, deleted when it has succeeded.

A job may go on from a job that itself went on from another; what it may use is what this party holds of the whole
line, as far back as its initiator took part. What a job that is not over may use is not deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from flow.bindings import BoundTask
from flow.coordinator.facts import Catalogue
from flow.doors import StoreDoor
from flow.errors import EarlierJobRuns, JobInvalid, UnreadableJob
from flow.job_spec import JobSpec
from flow.job_state import JobState
from flow.messages import KeptSteps
from flow.resuming import goes_on
from flow.store.database import Database
from flow.store.parts import earlier_parts, ended_before, live_parts, part_of, proposal_of, spec_of
from flow.witnesses import Wait

SWEEP_S = 600.0


@dataclass(frozen=True)
class Sweep:
    """Delete the checkpoints whose time is over."""


class Keeping:
    """What this party keeps of jobs that failed or were stopped."""

    def __init__(self, party: str, database: Database, catalogue: Catalogue, store: StoreDoor, keep_s: int) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._store = store
        self._keep_s = keep_s
        self.doubt: Callable[[], Wait | None] = lambda: None  # whether our wall clock may be believed

    def offered(self, spec: JobSpec, tasks: Mapping[str, BoundTask]) -> tuple[KeptSteps, ...]:
        """The checkpoints that we hold for our addresses of a job. Raises EarlierJobRuns while that may change."""
        with self._database.read() as connection:
            earlier = earlier_parts(connection, spec)
        return tuple(kept for row in earlier for kept in self._held(row, tasks))

    def job_ended(self, name: str, state: JobState) -> None:
        """Clean up after a job. A succeeded one leaves nothing, nor do those it went on from."""
        if state is not JobState.SUCCEEDED:
            (self._store.keep_checkpoints if self._keep_s else self._store.forget)(name)
            return
        with self._database.read() as connection:
            earlier = {row.job for row in earlier_parts(connection, spec_of(part_of(connection, name)))}
            used = _used(connection, but=name) if earlier else set()
        for over in [name, *sorted(earlier - used)]:
            self._store.forget(over)

    def sweep(self, _key: Sweep) -> float:
        """Delete what was kept long enough. Returns the seconds until it is time to look again."""
        unsure = self.doubt()
        if unsure is not None:
            return unsure.seconds
        now_ms = int(self._database.clock.now().timestamp() * 1000)
        with self._database.read() as connection:
            over = ended_before(connection, self._store.checkpointed(), now_ms - self._keep_s * 1000)
        for name in sorted(over):
            with self._database.read() as connection:
                used = _used(connection)  # as it is now: deleting takes its time, and a job may come meanwhile
            if name not in used:
                self._store.forget(name)
        return SWEEP_S

    def _held(self, row: Row[Any], tasks: Mapping[str, BoundTask]) -> Iterator[KeptSteps]:
        if row.state not in ("ended", "left"):
            raise EarlierJobRuns(f"Job {row.job} has not ended at {self._party} yet.", hint="It is tried again.")
        try:
            before = self._catalogue.of_proposal(proposal_of(row)).tasks
        except (JobInvalid, UnreadableJob):  # its components are gone from this release
            return
        for name, task in tasks.items():
            if name not in before or not goes_on(task, before[name]):
                continue
            for address in (address for address in task.addresses if address.party == self._party):
                for attempt, steps in self._store.held(row.job, name, address).items():
                    yield KeptSteps(job=row.job, task=name, attempt=attempt, address=str(address), steps=tuple(steps))


def _used(connection: Connection, but: str = "") -> set[str]:
    """The jobs whose checkpoints a job that is not over may go on from."""
    used: set[str] = set()
    for row in live_parts(connection):
        if row.job != but:
            with suppress(UnreadableJob):  # such a job does not run
                used |= {earlier.job for earlier in earlier_parts(connection, spec_of(row))}
    return used
