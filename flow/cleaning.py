"""A person has us delete what is kept of jobs that ended long ago: lines, checkpoints, and if asked what they made.

Never deleted are the ledger, budgets, tables that people brought, how jobs went and what was made of what. What a job
reads that is not over, or that ended since the day that is named, is in use and stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, or_, select

from flow.participant.checkpoint_retention import CheckpointRetention
from flow.participant.job_locks import JobLocks
from flow.rooms.ports import Rooms
from flow.store.database import Database
from flow.store.participations import ended_before
from flow.store.tables import job, log_line, progress
from flow.views.cleaning import Cleaned, CleanedJob
from party.ids import JOB_ID_PATTERN
from runtime.clock import now_ms
from storage.client import KeptFiles

JOBS_AT_ONCE = 200
NAMES_AT_ONCE = 500
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
    stays = []
    if kept.going_on:
        stays.append("its checkpoints, from which a job may go on that is not over")
    if outputs and kept.using and kept.files.outputs:
        stays.append(f"what it made, which job {kept.using} uses")
    gone = kept.files if outputs and not kept.using else KeptFiles(kept.files.checkpoint_bytes, 0, ())
    return CleanedJob(
        job=kept.job,
        name=kept.name,
        ended_ms=kept.ended_ms,
        log_lines=kept.log_lines,
        checkpoint_bytes=0 if kept.going_on else gone.checkpoint_bytes,
        output_bytes=gone.output_bytes,
        outputs=gone.outputs,
        stays=tuple(stays),
    )


def users(specs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By job whose outputs are named in a document: one of the jobs, given with their documents, that names them."""
    return {used.upper(): name for name, text in specs for used in _USED.findall(text) if used.upper() != name}


class Cleaning:
    """Deletes what a person asks for."""

    def __init__(self, database: Database, rooms: Rooms, retention: CheckpointRetention, locks: JobLocks) -> None:
        self._database = database
        self._rooms = rooms
        self._retention = retention
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
        files = self._rooms.store.job_files
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
            if done.is_something or done.stays:
                found.append(done)
            if done.is_something and not dry_run:
                self._delete(done, user)
        return Cleaned(jobs=tuple(found), after=chosen[-1] if len(chosen) == JOBS_AT_ONCE else "")

    def _delete(self, what: CleanedJob, user: str) -> None:
        with self._locks.of(what.job):
            if what.checkpoint_bytes:
                self._retention.forget(what.job)
            if what.outputs:
                self._rooms.store.job_files.delete_outputs(what.job)
            self._rooms.gateway.close_job(what.job)
            self._rooms.cluster.end_job(what.job)
            with self._database.write() as writer:
                for table in (log_line, progress):
                    writer.run(delete(table).where(table.c.job == what.job))
                said = what.model_dump(include={"log_lines", "checkpoint_bytes", "output_bytes", "outputs"})
                writer.event("job.cleaned", what.job, body={**said, "outputs": list(what.outputs), "user": user})


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
