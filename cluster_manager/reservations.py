"""What is promised to whom, and for how long; who waits for it.

Leases and claims are judged by the database's clock, inside the transaction that relies on them; no other clock is
asked. A reservation whose executor was started does not expire: it is given back, or its job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from ulid import ULID

from cluster_manager.claims import CLAIM_TABLE, NOW, claims_of, drop_claim, drop_claims, put_claim
from cluster_manager.errors import ReservationExpired
from cluster_manager.queue import Claim, Wait
from node_manager.client import HeldRoom, NodeClient, Resources
from party.ids import AttemptId
from runtime.disk.sqlite import Database

MOST_OWED = 10_000  # to one node; what began since it went away is not there anyway
_LIVE = f"(started = 1 OR lease_until > {NOW})"
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
_WITH_CLAIMS = f"""
ALTER TABLE reservation ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE reservation ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
{CLAIM_TABLE}
"""
_OWED = """
CREATE TABLE owed (
    host TEXT NOT NULL, job TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL, clean INTEGER NOT NULL,
    PRIMARY KEY (host, job, task, attempt, clean)
);
"""


@dataclass(frozen=True)
class StoredReservation:
    """A part of the node at `host` that is promised to one executor; `id` names it when that is started.

    `owner` and `priority` are those of the turn in which it was made.
    """

    id: str
    host: str
    attempt: AttemptId
    address: str
    resources: Resources
    owner: str = ""
    priority: int = 0
    started: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Taken:
    """What is known where it is decided about a claim.

    Attributes:
        amounts: What is promised on each node.
        at_work: The jobs to which something is promised, by owner.
        claims: What is waited for.
    """

    amounts: Mapping[str, Resources] = field(default_factory=dict)
    at_work: Mapping[str, set[str]] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Owed:
    """What a node that is gone is to be told: end executors (of all tasks where `task` is empty), or clean up."""

    job: str
    task: str = ""
    attempt: int = 0
    clean: bool = False

    def tell(self, node: NodeClient) -> None:
        """Tell it. Raises what the node's calls raise."""
        if self.clean:
            node.clean(self.job)
        else:
            node.stop(self.job, self.task or None, self.attempt or None, 0.0)


class ClusterStore:
    """Reservations on the nodes at these addresses; safe to use from several threads."""

    def __init__(self, path: Path, nodes: Collection[str]) -> None:
        """Open the file. Raises NewerDatabase."""
        self._nodes = nodes
        self._database = Database(path, (_FIRST, _WITHOUT_EVENTS, _WITHOUT_NODES, _WITH_CLAIMS, _OWED))

    def reserve(
        self, wanted: Claim, lease_s: float, decide: Callable[[Claim, Taken], Mapping[str, str] | Wait]
    ) -> dict[str, StoredReservation] | Wait:
        """Reserve for each address of an attempt where `decide` says; or hold nothing for it and file the claim.

        What is reserved for it already has its lease renewed, unless its node is no longer one of ours: then it is
        reserved anew. `decide` is asked about the rest. Raises DiskFull.
        """
        self._database.require_room()

        def work(rows: Connection) -> dict[str, StoredReservation] | Wait:
            rows.execute(f"DELETE FROM reservation WHERE NOT {_LIVE}")  # noqa: S608  a constant
            held = self._held(rows, wanted)
            missing = _without(wanted, held)
            places = decide(missing, _taken(rows)) if missing.sizes else {}
            if isinstance(places, Wait):
                at_work = [address for address, each in held.items() if each.started]
                put_claim(rows, _without(wanted, at_work))
                unused = [(each.id,) for each in held.values() if not each.started]
                rows.executemany("DELETE FROM reservation WHERE id = ?", unused)
                return places
            drop_claim(rows, wanted.attempt)
            renewed = f"UPDATE reservation SET lease_until = {NOW} + ? WHERE id = ?"  # noqa: S608  a constant
            rows.executemany(renewed, [(lease_s, each.id) for each in held.values()])
            made = {address: _insert(rows, missing, address, host, lease_s) for address, host in places.items()}
            return {**held, **made}

        return self._database.write(work)

    def _held(self, rows: Connection, wanted: Claim) -> dict[str, StoredReservation]:
        """What is reserved for the claim already; what is of another size, or on a node that is gone, is given back."""
        found = {}
        of = "job = ? AND task = ? AND attempt = ? AND address = ?"
        for address, size in wanted.sizes.items():
            attempt = wanted.attempt
            one = next(_find(rows, of, (attempt.job, attempt.task, attempt.attempt, address)), None)
            if one is not None and one.resources == size and one.host in self._nodes:
                found[address] = one
            elif one is not None:
                rows.execute("DELETE FROM reservation WHERE id = ?", (one.id,))
        return found

    def begin(self, reservation_id: str) -> StoredReservation:
        """Mark a reservation as used. Raises ReservationExpired if its lease ran out or it was given back."""

        def work(rows: Connection) -> StoredReservation:
            found = next(_find(rows, f"id = ? AND {_LIVE}", (reservation_id,)), None)
            if found is None:
                raise ReservationExpired(
                    f"The reservation {reservation_id[:40]} has expired or was given back.", hint="Reserve again."
                )
            rows.execute("UPDATE reservation SET started = 1 WHERE id = ?", (reservation_id,))
            return found

        return self._database.write(work)

    def adopt(self, host: str, held: Iterable[HeldRoom]) -> int:
        """Reserve what executors at a node run in where it is not known: this file was lost. Returns how many."""
        rooms = [
            (room.reservation, room.job, room.task, room.attempt, room.address, host, *_sizes(room.resources))
            for room in held
        ]
        columns = "id, job, task, attempt, address, host, cores, memory_bytes, gpus, lease_until, started"
        insert = f"INSERT OR IGNORE INTO reservation ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1)"  # noqa: S608  a constant

        def work(rows: Connection) -> int:
            before = rows.total_changes
            rows.executemany(insert, rooms)
            return rows.total_changes - before

        return self._database.write(work) if rooms else 0

    def not_begun(self, reservation_id: str) -> None:
        """Nothing was started in it after all: its lease counts again."""
        self._change("UPDATE reservation SET started = 0 WHERE id = ?", (reservation_id,))

    def release(self, reservation_id: str) -> None:
        """Give it back; one that is not there is given back already."""
        self._change("DELETE FROM reservation WHERE id = ?", (reservation_id,))

    def reserved(self) -> dict[str, Resources]:
        """What is promised on each node now."""
        return _amounts(self._database.read(_RESERVED))

    def queue(self) -> tuple[list[StoredReservation], Taken]:
        """What is promised now, and what is known to who decides."""
        return self._database.write(lambda rows: (list(_find(rows, _LIVE, ())), _taken(rows)))

    def end_job(self, job: str) -> None:
        """Give back what the job holds; it waits for nothing any more."""

        def work(rows: Connection) -> None:
            rows.execute("DELETE FROM reservation WHERE job = ?", (job,))
            drop_claims(rows, job)

        self._database.write(work)

    def held(self, reservation_id: str) -> StoredReservation | None:
        """A reservation, if it is there."""
        return self._database.write(lambda rows: next(iter(_find(rows, "id = ?", (reservation_id,))), None))

    def owe(self, host: str, owed: Owed) -> None:
        """Remember what a node is to be told once it is back; of one that is away for long no more than `MOST_OWED`."""
        values = (host, owed.job, owed.task, owed.attempt, owed.clean)
        few = "(SELECT COUNT(*) FROM owed WHERE host = ?) < ?"
        self._change(f"INSERT OR IGNORE INTO owed SELECT ?, ?, ?, ?, ? WHERE {few}", (*values, host, MOST_OWED))

    def owed(self, host: str) -> list[Owed]:
        """What a node is to be told, the cleaning up last."""
        query = "SELECT job, task, attempt, clean FROM owed WHERE host = ? ORDER BY clean"
        return [
            Owed(job, task, attempt, bool(clean)) for job, task, attempt, clean in self._database.read(query, (host,))
        ]

    def told(self, host: str, owed: Owed) -> None:
        """A node has been told."""
        where = "host = ? AND job = ? AND task = ? AND attempt = ? AND clean = ?"
        values = (host, owed.job, owed.task, owed.attempt, owed.clean)
        self._change(f"DELETE FROM owed WHERE {where}", values)  # noqa: S608  a constant

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        self._database.write(lambda rows: rows.execute(statement, values))


def _without(claim: Claim, addresses: Collection[str]) -> Claim:
    rest = {address: size for address, size in claim.sizes.items() if address not in addresses}
    return Claim(claim.attempt, rest, claim.turn)


def _taken(rows: Connection) -> Taken:
    at_work: dict[str, set[str]] = {}
    for owner, job in rows.execute(f"SELECT DISTINCT owner, job FROM reservation WHERE {_LIVE}"):  # noqa: S608  a constant
        at_work.setdefault(owner, set()).add(job)
    return Taken(_amounts(rows.execute(_RESERVED)), at_work, tuple(claims_of(rows)))


def _insert(rows: Connection, claim: Claim, address: str, host: str, lease_s: float) -> StoredReservation:
    size, attempt, turn = claim.sizes[address], claim.attempt, claim.turn
    made = StoredReservation(str(ULID()), host, attempt, address, size, turn.owner, turn.priority)
    side = (made.id, attempt.job, attempt.task, attempt.attempt, address, host)
    values = (*side, size.cores, size.memory_bytes, size.gpus, lease_s, turn.owner, turn.priority)
    insert = f"INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {NOW} + ?, 0, ?, ?)"  # noqa: S608  a constant
    rows.execute(insert, values)
    return made


def _find(rows: Connection, where: str, values: tuple[object, ...]) -> Iterator[StoredReservation]:
    columns = "id, host, job, task, attempt, address, owner, priority, started, cores, memory_bytes, gpus"
    query = f"SELECT {columns} FROM reservation WHERE {where}"  # noqa: S608  constants
    for name, host, job, task, attempt, address, owner, priority, started, *size in rows.execute(query, values):
        at = AttemptId(job, task, attempt)
        yield StoredReservation(name, host, at, address, _resources(*size), owner, priority, bool(started))


def _amounts(rows: Iterable[tuple[Any, ...]]) -> dict[str, Resources]:
    return {host: _resources(*sums) for host, *sums in rows}


def _resources(cores: int, memory_bytes: int, gpus: int) -> Resources:
    return Resources(cores=cores, memory_bytes=memory_bytes, gpus=gpus)


def _sizes(resources: Resources) -> tuple[int, int, int]:
    return resources.cores, resources.memory_bytes, resources.gpus
