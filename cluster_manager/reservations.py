"""What is promised to whom, for how long, and which nodes there are. SQLite, one writer.

Leases are judged by the database's clock, inside the transaction that relies on them; no other clock is asked. A
reservation whose executor was started does not expire: it is given back, or its job ends.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ulid import ULID

from cluster_manager.errors import ReservationExpired
from cluster_manager.placement import Amount
from party.ids import AttemptId
from runtime.disk.files import keep_private

_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
_LIVE = f"(started = 1 OR lease_until > {_NOW})"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (address TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS reservation (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL, address TEXT NOT NULL,
    host TEXT NOT NULL, cores INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, gpus INTEGER NOT NULL,
    lease_until REAL NOT NULL, started INTEGER NOT NULL DEFAULT 0, UNIQUE (job, task, attempt, address)
);
"""
_WITHOUT_EVENTS = """
ALTER TABLE node DROP COLUMN epoch;
ALTER TABLE node DROP COLUMN cursor;
DROP TABLE news;
DROP TABLE ended;
"""


@dataclass(frozen=True)
class Reservation:
    """Room promised on the node at `host`, named by `id` when the executor is started."""

    id: str
    host: str
    attempt: AttemptId
    address: str
    amount: Amount


class ClusterStore:
    """Nodes and reservations; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        keep_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 1:
            self._db.executescript(_WITHOUT_EVENTS)
        self._db.execute("PRAGMA user_version = 2")

    # Reservations

    def reserve(
        self,
        attempt: AttemptId,
        address: str,
        amount: Amount,
        lease_s: float,
        place: Callable[[dict[str, Amount]], str],
    ) -> Reservation:
        """Promise room where `place` says, given what is reserved on each node; the same again renews the lease.

        Whatever `place` raises is raised, and nothing is promised.
        """
        side = (attempt.job, attempt.task, attempt.attempt, address)
        with self._transaction():
            self._db.execute(f"DELETE FROM reservation WHERE NOT {_LIVE}")  # noqa: S608  a constant
            found = self._find("job = ? AND task = ? AND attempt = ? AND address = ?", side)
            if found is not None and found.amount == amount:
                until = f"UPDATE reservation SET lease_until = {_NOW} + ? WHERE id = ?"  # noqa: S608  a constant
                self._db.execute(until, (lease_s, found.id))
                return found
            if found is not None:
                self._db.execute("DELETE FROM reservation WHERE id = ?", (found.id,))
            made = Reservation(str(ULID()), place(self._reserved()), attempt, address, amount)
            sizes = (amount.cores, amount.memory_bytes, amount.gpus)
            insert = f"INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {_NOW} + ?, 0)"  # noqa: S608  a constant
            self._db.execute(insert, (made.id, *side, made.host, *sizes, lease_s))
        return made

    def begin(self, reservation_id: str) -> Reservation:
        """Mark a reservation as used. Raises ReservationExpired if its lease ran out or it was given back."""
        with self._transaction():
            found = self._find(f"id = ? AND {_LIVE}", (reservation_id,))
            if found is None:
                raise ReservationExpired(
                    f"The reservation {reservation_id[:40]} has expired or was given back.", hint="Reserve again."
                )
            self._db.execute("UPDATE reservation SET started = 1 WHERE id = ?", (reservation_id,))
        return found

    def not_begun(self, reservation_id: str) -> None:
        """Nothing was started in it after all: its lease counts again."""
        with self._transaction():
            self._db.execute("UPDATE reservation SET started = 0 WHERE id = ?", (reservation_id,))

    def release(self, reservation_id: str) -> None:
        """Give it back; one that is not there is given back already."""
        with self._transaction():
            self._db.execute("DELETE FROM reservation WHERE id = ?", (reservation_id,))

    def reserved(self) -> dict[str, Amount]:
        """What is promised on each node now."""
        with self._lock:
            return self._reserved()

    # Nodes

    def add_node(self, address: str) -> bool:
        """Remember a node; False if it was known."""
        with self._transaction():
            done = self._db.execute("INSERT OR IGNORE INTO node VALUES (?)", (address,))
            return done.rowcount > 0

    def remove_node(self, address: str) -> None:
        """Forget a node."""
        with self._transaction():
            self._db.execute("DELETE FROM node WHERE address = ?", (address,))

    def nodes(self) -> list[str]:
        """Addresses of all nodes."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT address FROM node ORDER BY address")]

    # Ends

    def end_job(self, job: str) -> None:
        """Give back what the job holds."""
        with self._transaction():
            self._db.execute("DELETE FROM reservation WHERE job = ?", (job,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has given it up itself
                    self._db.execute("ROLLBACK")
                raise

    def _find(self, where: str, values: tuple[object, ...]) -> Reservation | None:
        columns = "id, host, job, task, attempt, address, cores, memory_bytes, gpus"
        query = f"SELECT {columns} FROM reservation WHERE {where}"  # noqa: S608  constants
        row = self._db.execute(query, values).fetchone()
        if row is None:
            return None
        return Reservation(row[0], row[1], AttemptId(row[2], row[3], row[4]), row[5], Amount(row[6], row[7], row[8]))

    def _reserved(self) -> dict[str, Amount]:
        sums = "SELECT host, SUM(cores), SUM(memory_bytes), SUM(gpus) FROM reservation"
        rows = self._db.execute(f"{sums} WHERE {_LIVE} GROUP BY host")
        return {row[0]: Amount(row[1], row[2], row[3]) for row in rows}
