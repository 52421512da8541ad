"""A person has us delete what is kept of jobs that ended long ago: lines, progress, checkpoints, what they made.

Never deleted are the ledger, budgets, tables that people brought, how jobs went and what was made of what. What a job
reads that is not over, or that ended since the day that is named, is in use and stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, or_, select

from flow.errors import InUse
from flow.participant.checkpoint_retention import CheckpointRetention
from flow.participant.job_locks import JobLocks
from flow.rooms.holdings import Holdings
from flow.rooms.ports import StorePort
from flow.store.database import Database
from flow.store.participations import ended_before
from flow.store.tables import job, log_line, progress
from flow.views.cleaning import Cleaned, CleanedJob
from party.ids import JOB_ID_PATTERN
from runtime.clock import now_ms
from storage.client import KeptFiles

JOBS_AT_ONCE = 200
NAMES_AT_ONCE = 500
GOING_ON = "its checkpoints, from which a job may go on that is not over"
_USED = re.compile(rf"job[:-]({JOB_ID_PATTERN})/", re.IGNORECASE)


@dataclass(frozen=True)
class Kept:
    """What is kept of a job that ended long ago. `going_on` and `using` are jobs that need checkpoints, or outputs."""

    job: str
    name: str
    ended_ms: int
    log_lines: int
    files: KeptFiles
    going_on: bool
    using: str


def decide(kept: Kept, *, outputs: bool) -> CleanedJob:
    """What is deleted of a job, and why something else is not. Pure."""
    files, stays = kept.files, []
    if kept.going_on and files.checkpoints:
        stays.append(GOING_ON)
    if outputs and kept.using and files.outputs:
        stays.append(f"what it made, which job {kept.using} uses")
    checkpoints, made = files.checkpoints and not kept.going_on, outputs and not kept.using
    return CleanedJob(
        job=kept.job,
        name=kept.name,
        ended_ms=kept.ended_ms,
        log_lines=kept.log_lines,
        checkpoints=checkpoints,
        checkpoint_bytes=files.checkpoint_bytes if checkpoints else 0,
        output_bytes=files.output_bytes if made else 0,
        outputs=files.outputs if made else (),
        stays=tuple(stays),
    )


def users(specs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By job whose outputs are named in a document: one of the jobs, given with their documents, that names them."""
    return {used.upper(): name for name, text in specs for used in _USED.findall(text) if used.upper() != name}


class Cleaning:
    """Deletes what a person asks for."""

    def __init__(
        self, database: Database, store: StorePort, retention: CheckpointRetention, held: Holdings, locks: JobLocks
    ) -> None:
        self._database = database
        self._store = store
        self._retention = retention
        self._held = held
        self._locks = locks

    def clean(self, older_s: float, user: str, *, outputs: bool, dry_run: bool, after: str = "") -> Cleaned:
        """Delete what is kept of some jobs that ended so long ago, oldest first; or only say what would be.

        Args:
            older_s: Seconds since a job ended, at least.
            user: Who asks.
            outputs: Whether what it made goes too.
            dry_run: Whether nothing is deleted.
            after: Only jobs with a later id: those before it were looked at.
        """
        before_ms = now_ms(self._database.clock) - int(older_s * 1000)
        files = self._store.job_files
        with self._database.read() as connection:
            lines = _lines(connection)
            names = sorted(name for name in {*lines, *files.jobs()} if name > after)
            over = _over(connection, names, before_ms)
            chosen = [name for name in names if name in over][:JOBS_AT_ONCE]
            used = users(_newer_specs(connection, before_ms)) if outputs and chosen else {}
        going_on = self._retention.used() if chosen else set()
        found = []
        for name in chosen:
            kept = Kept(name, *over[name], lines.get(name, 0), files.of(name), name in going_on, used.get(name, ""))
            done = decide(kept, outputs=outputs)
            if done.is_something and not dry_run:
                done = self._delete(done, user)
            if done.is_something or done.stays:
                found.append(done)
        return Cleaned(jobs=tuple(found), after=chosen[-1] if len(chosen) == JOBS_AT_ONCE else "")

    def _delete(self, would: CleanedJob, user: str) -> CleanedJob:
        """Delete what nothing has come to need meanwhile, once it is recorded who has what deleted. Returns that."""
        with self._locks.of(would.job):
            what = self._unneeded(would)
            if not what.is_something:
                return what
            with self._database.write() as writer:
                for table in (log_line, progress):
                    writer.run(delete(table).where(table.c.job == what.job))
                said = what.model_dump(mode="json", exclude={"job", "name", "ended_ms", "stays"})
                writer.event("job.cleaned", what.job, body={**said, "user": user})
            if what.checkpoints:
                self._store.forget(what.job)
            if what.outputs:
                self._store.job_files.delete_outputs(what.job)
        return what

    def _unneeded(self, would: CleanedJob) -> CleanedJob:
        """The same without what a job needs that is not over, as it is now: jobs come while others are cleaned."""
        what = would
        if what.checkpoints and what.job in self._retention.used():
            stays = (*what.stays, GOING_ON)
            what = what.model_copy(update={"checkpoints": False, "checkpoint_bytes": 0, "stays": stays})
        try:
            for is_table in (True, False):
                names = [name for name in what.outputs if ("@" in name) is is_table]
                self._held.refuse_needed(names, is_table=is_table)
        except InUse as error:
            stays = (*what.stays, f"what it made: {error.message}")
            what = what.model_copy(update={"outputs": (), "output_bytes": 0, "stays": stays})
        return what


def _lines(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(log_line.c.job, func.count()).group_by(log_line.c.job)).all()
    return {row[0]: int(row[1]) for row in rows}


def _over(connection: Connection, names: Collection[str], before_ms: int) -> Mapping[str, tuple[str, int]]:
    """Name and end of those of the jobs that ended before a time, here as well."""
    every = list(names)
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(every), NAMES_AT_ONCE):
        few = ended_before(connection, every[start : start + NAMES_AT_ONCE], before_ms)
        rows = connection.execute(select(job.c.id, job.c.name, job.c.ended_ms).where(job.c.id.in_(few))).all()
        found |= {row.id: (row.name, row.ended_ms) for row in rows}
    return found


def _newer_specs(connection: Connection, before_ms: int) -> Iterable[tuple[str, str]]:
    """The documents of jobs that are not over, or ended since a time."""
    newer = or_(job.c.ended_ms.is_(None), job.c.ended_ms > before_ms)
    for row in connection.execute(select(job.c.id, job.c.spec).where(newer)):
        yield row.id, row.spec
