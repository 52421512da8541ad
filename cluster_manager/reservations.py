"""What is promised to whom, and for how long.

Leases are judged by the database's clock, inside the transaction that relies on them; no other clock is asked. A
reservation whose executor was started does not expire: it is given back, or its job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from ulid import ULID

from cluster_manager.errors import ReservationExpired
from node_manager.client import Resources
from party.ids import AttemptId
from runtime.disk.sqlite import Database

_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
_LIVE = f"(started = 1 OR lease_until > {_NOW})"
_SUMS = "host, SUM(cores), SUM(memory_bytes), SUM(gpus)"
_RESERVED = f"SELECT {_SUMS} FROM reservation WHERE {_LIVE} GROUP BY host"  # noqa: S608  constants
_FIRST = """
CREATE TABLE node (address TEXT PRIMARY KEY, epoch TEXT NOT NULL, cursor INTEGER NOT NULL);
CREATE TABLE news (sequence INTEGER PRIMARY KEY);
CREATE TABLE ended (job TEXT PRIMARY KEY);
CREATE TABLE reservation (
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
_WITHOUT_NODES = "DROP TABLE node;"


@dataclass(frozen=True)
class StoredReservation:
    """A part of the node at `host` that is promised to one executor; `id` names it when that is started."""

    id: str
    host: str
    attempt: AttemptId
    address: str
    resources: Resources


class ClusterStore:
    """Reservations on the nodes at these addresses; safe to use from several threads."""

    def __init__(self, path: Path, nodes: Collection[str]) -> None:
        """Open the file. Raises NewerDatabase."""
        self._nodes = nodes
        self._database = Database(path, (_FIRST, _WITHOUT_EVENTS, _WITHOUT_NODES))

    def reserve(
        self,
        attempt: AttemptId,
        address: str,
        resources: Resources,
        lease_s: float,
        place: Callable[[dict[str, Resources]], str],
    ) -> StoredReservation:
        """Reserve where `place` says, given what is reserved on each node; the same again renews the lease.

        Unless its node is no longer one of ours: then it is reserved anew. Whatever `place` raises is raised, and
        nothing is promised.
        """
        side = (attempt.job, attempt.task, attempt.attempt, address)

        def work(rows: Connection) -> StoredReservation:
            rows.execute(f"DELETE FROM reservation WHERE NOT {_LIVE}")  # noqa: S608  a constant
            found = _find(rows, "job = ? AND task = ? AND attempt = ? AND address = ?", side)
            if found is not None and found.resources == resources and found.host in self._nodes:
                until = f"UPDATE reservation SET lease_until = {_NOW} + ? WHERE id = ?"  # noqa: S608  a constant
                rows.execute(until, (lease_s, found.id))
                return found
            if found is not None:
                rows.execute("DELETE FROM reservation WHERE id = ?", (found.id,))
            made = StoredReservation(str(ULID()), place(_amounts(rows.execute(_RESERVED))), attempt, address, resources)
            sizes = (resources.cores, resources.memory_bytes, resources.gpus)
            insert = f"INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {_NOW} + ?, 0)"  # noqa: S608  a constant
            rows.execute(insert, (made.id, *side, made.host, *sizes, lease_s))
            return made

        return self._database.write(work)

    def begin(self, reservation_id: str) -> StoredReservation:
        """Mark a reservation as used. Raises ReservationExpired if its lease ran out or it was given back."""

        def work(rows: Connection) -> StoredReservation:
            found = _find(rows, f"id = ? AND {_LIVE}", (reservation_id,))
            if found is None:
                raise ReservationExpired(
                    f"The reservation {reservation_id[:40]} has expired or was given back.", hint="Reserve again."
                )
            rows.execute("UPDATE reservation SET started = 1 WHERE id = ?", (reservation_id,))
            return found

        return self._database.write(work)

    def not_begun(self, reservation_id: str) -> None:
        """Nothing was started in it after all: its lease counts again."""
        self._change("UPDATE reservation SET started = 0 WHERE id = ?", (reservation_id,))

    def release(self, reservation_id: str) -> None:
        """Give it back; one that is not there is given back already."""
        self._change("DELETE FROM reservation WHERE id = ?", (reservation_id,))

    def reserved(self) -> dict[str, Resources]:
        """What is promised on each node now."""
        return _amounts(self._database.read(_RESERVED))

    def end_job(self, job: str) -> None:
        """Give back what the job holds."""
        self._change("DELETE FROM reservation WHERE job = ?", (job,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        self._database.write(lambda rows: rows.execute(statement, values))


def _find(rows: Connection, where: str, values: tuple[object, ...]) -> StoredReservation | None:
    columns = "id, host, job, task, attempt, address, cores, memory_bytes, gpus"
    query = f"SELECT {columns} FROM reservation WHERE {where}"  # noqa: S608  constants
    row = rows.execute(query, values).fetchone()
    if row is None:
        return None
    return StoredReservation(row[0], row[1], AttemptId(row[2], row[3], row[4]), row[5], _resources(*row[6:]))


def _amounts(rows: Iterable[tuple[Any, ...]]) -> dict[str, Resources]:
    return {host: _resources(*sums) for host, *sums in rows}


def _resources(cores: int, memory_bytes: int, gpus: int) -> Resources:
    return Resources(cores=cores, memory_bytes=memory_bytes, gpus=gpus)
