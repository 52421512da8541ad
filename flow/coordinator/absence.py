"""Which parties of which jobs do not do their part now, since when: written once when it begins and when it ends.

A party is absent if it cannot be reached, and hindered if it answers that it cannot now: its disk is full, for one.
"""

from __future__ import annotations

from threading import Lock

from sqlalchemy import select

from flow.store.database import Database
from flow.store.participations import change_party
from flow.store.tables import job_party
from flow.store.waiting import is_away, is_own_gateway
from runtime.errors import PlatformError
from runtime.problems import MAX_CODE_CHARS


class Absence:
    """Notes of absent parties, in the store for people and in memory so that presence costs nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._absent: dict[tuple[str, str], str] = {}  # why, by job and party

    def recover(self) -> None:
        """Read what was noted before a restart."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(job_party.c.job, job_party.c.party, job_party.c.absent_why).where(
                    job_party.c.absent_ms.is_not(None)
                )
            ).all()
        with self._lock:
            self._absent = {(row.job, row.party): row.absent_why for row in rows}

    def has(self, job: str, party: str) -> bool:
        """Whether the party is noted as absent from the job."""
        with self._lock:
            return (job, party) in self._absent

    def note(self, job: str, party: str, error: PlatformError) -> None:
        """A call to the party failed for now; the reason that is kept is the last one."""
        why = str(error)
        with self._lock:
            if self._absent.get((job, party)) == why:
                return
        with self._database.write() as writer:
            changes: dict[str, object] = {"absent_why": why, "absent_code": error.code[:MAX_CODE_CHARS]}
            row = writer.rows(job).one(job_party, party)
            if row is not None and row.absent_ms is None:
                changes["absent_ms"] = writer.now_ms
                writer.event(_kind(error.code), job, place=("", 0, party), body={"code": error.code})
            if row is not None:
                change_party(writer, job, party, **changes)
        with self._lock:
            self._absent[job, party] = why

    def clear(self, job: str, party: str) -> bool:
        """The party answered; whether it had been absent."""
        with self._lock:
            if (job, party) not in self._absent:
                return False
            del self._absent[job, party]
        with self._database.write() as writer:
            row = writer.rows(job).one(job_party, party)
            if row is not None and row.absent_ms is not None:
                kind = "gateway.back" if is_own_gateway(row.absent_code) else "party.back"
                change_party(writer, job, party, absent_ms=None, absent_why="", absent_code="")
                writer.event(kind, job, place=("", 0, party))
        return True


def _kind(code: str) -> str:
    """Which event tells of the first call that failed: our own gateway is to blame before another party is."""
    if is_own_gateway(code):
        return "gateway.down"
    return "party.absent" if is_away(code) else "party.hindered"
