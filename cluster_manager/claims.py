"""Claims at rest: what attempts wait for. One that is not asked for again for a while lapses.

So nothing is kept for an initiator that died. Its place in the queue a job keeps, since that hangs on when it was first
seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from sqlite3 import Connection

from cluster_manager.queue import Claim, Turn
from node_manager.client import Resources
from party.ids import AttemptId, JobId, TaskName

LAPSES_S = 20.0
NOW = "((julianday('now') - 2440587.5) * 86400.0)"
CLAIM_TABLE = """
CREATE TABLE claim (
    job TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL, address TEXT NOT NULL,
    cores INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, gpus INTEGER NOT NULL,
    priority INTEGER NOT NULL, since_ms INTEGER NOT NULL, owner TEXT NOT NULL, most INTEGER NOT NULL,
    until REAL NOT NULL, PRIMARY KEY (job, task, address)
);
"""


def put_claim(rows: Connection, claim: Claim, lapses_s: float = LAPSES_S) -> None:
    """File a claim in the place of any other of the same task, or renew it once half of its time is over."""
    rows.execute(f"DELETE FROM claim WHERE until <= {NOW}")  # noqa: S608  a constant
    attempt, turn = claim.attempt, claim.turn
    fresh = f"until > {NOW} + ? AND job = ? AND task = ?"
    if claim in claims_of(rows, fresh, (lapses_s / 2, attempt.job, attempt.task)):
        return  # so that asking again and again costs no disk
    drop_claim(rows, attempt)
    insert = f"INSERT INTO claim VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {NOW} + ?)"  # noqa: S608  a constant
    head, tail = (attempt.job, attempt.task, attempt.attempt), (turn.priority, turn.since_ms, turn.owner, turn.most)
    for address, size in claim.sizes.items():
        rows.execute(insert, (*head, address, size.cores, size.memory_bytes, size.gpus, *tail, lapses_s))


def drop_claim(rows: Connection, attempt: AttemptId) -> None:
    """A task waits no more."""
    rows.execute("DELETE FROM claim WHERE job = ? AND task = ?", (attempt.job, attempt.task))


def drop_claims(rows: Connection, job: str) -> None:
    """A job waits no more."""
    rows.execute("DELETE FROM claim WHERE job = ?", (job,))


def claims_of(rows: Connection, where: str = f"until > {NOW}", values: tuple[object, ...] = ()) -> Iterator[Claim]:
    """Every claim that has not lapsed."""
    columns = "job, task, attempt, priority, since_ms, owner, most, address, cores, memory_bytes, gpus"
    query = f"SELECT {columns} FROM claim WHERE {where} ORDER BY job, task, address"  # noqa: S608  constants
    for (job, task, attempt, *turn), sides in groupby(rows.execute(query, values).fetchall(), key=lambda row: row[:7]):
        sizes = {at: Resources(cores=cores, memory_bytes=size, gpus=gpus) for *_, at, cores, size, gpus in sides}
        yield Claim(AttemptId(JobId(job), TaskName(task), attempt), sizes, Turn(*turn))
