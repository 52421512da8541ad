"""The mailbox on disk: rows in SQLite, large bodies in files. Every write is one transaction.

A file gets its final name before the transaction that names it and is deleted after the one that forgets it, so a
kill at any instant leaves at most a file without a row, which the next start sweeps away.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.contract import JobContract, contract_from_json, contract_to_json
from gateway.envelope import Envelope, Header, stored_envelope
from gateway.errors import ContractChanged, MessageRefused
from gateway.mailbox.ledger import Entry, JobTraffic, entry_of, refused_entry, summed
from gateway.mailbox.placing import Placed
from gateway.mailbox.rows import (
    ENTRY,
    charge,
    closed,
    drop,
    entry_in,
    insert,
    keyed,
    marks,
    one_read,
    open_contract,
    record,
    refuse_conflicts,
    released,
    require_open,
)
from gateway.mailbox.spool import SpoolFolder
from gateway.mailbox.store import NOTHING, Body, Message, Outgoing, Place, Spool
from gateway.scalars import Bill
from runtime.canonical import canonical_json
from runtime.clock import Clock, SystemClock, now_ms
from runtime.disk.sqlite import Database, Durability
from runtime.errors import PlatformError
from runtime.metrics import metrics

_PASSED = metrics("gateway").counter(
    "messages", "Messages that passed to and from another party.", ["direction", "peer"]
)
_BYTES = metrics("gateway").counter("message_bytes", "Bytes of those messages.", ["direction", "peer"])
_FIND = """
    SELECT sender, sealed, sha256, inbox.size, inbox.offset, file, body
    FROM inbox JOIN envelope ON envelope.sequence = inbox.envelope WHERE inbox.key = ?
"""


class DiskMailbox:
    """See `gateway.mailbox.store.Mailbox`."""

    def __init__(
        self, folder: Path, database: Database, durability: Durability = "process", clock: Clock | None = None
    ) -> None:
        self._database = database
        self._sync = durability == "power"
        self._clock = clock or SystemClock()
        self._spools = SpoolFolder(folder)
        self._spools.sweep({name for (name,) in database.read("SELECT file FROM envelope WHERE file IS NOT NULL")})
        self._contracts: dict[str, JobContract] = {}
        self._contracts_lock = threading.Lock()

    def open_job(self, contract: JobContract) -> None:
        """Take messages of this job from now on."""
        data = canonical_json(contract_to_json(contract))

        def work(rows: sqlite3.Connection) -> None:
            known = rows.execute("SELECT contract FROM job WHERE job = ?", (contract.job,)).fetchone()
            if known is None:
                rows.execute("INSERT INTO job VALUES (?, ?)", (contract.job, data))
            elif known[0] is None:
                raise closed(contract.job)
            elif known[0] != data:
                raise ContractChanged(f"Job {contract.job} is open with another contract.")

        self._database.write(work)

    def close_job(self, job: str) -> JobTraffic:
        """Delete the job's messages and take no more."""

        def work(rows: sqlite3.Connection) -> list[tuple[str]]:
            files = rows.execute("SELECT file FROM envelope WHERE job = ? AND file IS NOT NULL", (job,)).fetchall()
            for table in ("envelope", "sent", "inbox", "refusal", "token", "spent", "key_seen"):
                rows.execute(f"DELETE FROM {table} WHERE job = ?", (job,))  # noqa: S608 - names from this line
            rows.execute("INSERT OR REPLACE INTO job VALUES (?, NULL)", (job,))
            return files

        with self._contracts_lock:
            files = self._database.write(work)
            self._contracts.pop(job, None)
        self._delete(name for (name,) in files)
        self._spools.forget_job(job)
        return self.traffic(job)

    def jobs(self) -> list[str]:
        """The open jobs."""
        return [job for (job,) in self._database.read("SELECT job FROM job WHERE contract IS NOT NULL ORDER BY job")]

    def contract(self, job: str) -> JobContract:
        """The contract of an open job."""
        known = self._contracts.get(job)
        if known is not None:
            return known
        with self._contracts_lock:
            found = self._database.read("SELECT contract FROM job WHERE job = ?", (job,))
            contract = contract_from_json(open_contract(job, found))
            self._contracts[job] = contract
        return contract

    def spool(self, name: str = "") -> Spool:
        """A new body, or what an earlier try left under the name."""
        return self._spools.open(name)

    def spooled(self, name: str) -> int:
        """How many bytes an earlier try left under the name."""
        return self._spools.left(name)

    def forget_spool(self, name: str) -> None:
        """Delete what an earlier try left under the name."""
        self._spools.forget(name)

    def half_bodies(self) -> list[str]:
        """The names of what earlier tries left, the oldest first."""
        return self._spools.half_bodies()

    def taken(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that were sent from here before."""
        query = f"SELECT key FROM sent WHERE key IN ({marks(keys)})"  # noqa: S608 - question marks only
        return {key for (key,) in self._database.read(query, keys)}

    def put_out(self, envelope: Envelope, body: Body, peer: str | None, bill: Bill = NOTHING) -> bool:
        """Queue for a peer, or keep it if it is for ourselves."""
        header = envelope.header
        with self._placed(body) as (data, file, undo):

            def work(rows: sqlite3.Connection) -> bool:
                require_open(rows, header.job)
                if any(rows.execute("SELECT 1 FROM sent WHERE key = ?", (key,)).fetchone() for key in header.keys):
                    return False
                charge(rows, header, bill)
                rows.executemany("INSERT INTO sent VALUES (?, ?)", [(key, header.job) for key in header.keys])
                insert(rows, envelope, peer, data, file)
                if peer is not None:
                    record(rows, entry_of(envelope, now_ms(self._clock), inward=False))
                return True

            stored = self._database.write(work)
            if stored:
                undo.pop_all()
                if peer is not None:
                    _count("out", peer, header)
        return stored

    def held(self, envelope: Envelope) -> bool:
        """Whether all its messages came before."""
        self.contract(envelope.header.job)
        messages = dict(keyed(envelope))
        query = f"SELECT key, sha256 FROM inbox WHERE key IN ({marks(messages)})"  # noqa: S608 - question marks only
        found = self._database.read(query, list(messages))
        refuse_conflicts(found, messages)
        return len(found) == len(messages)

    def put_in(self, envelope: Envelope, body: Body, bill: Bill = NOTHING) -> bool:
        """Keep what a peer sent."""
        messages = dict(keyed(envelope))
        with self._placed(body) as (data, file, undo):

            def work(rows: sqlite3.Connection) -> bool:
                require_open(rows, envelope.header.job)
                found = [
                    row
                    for key in messages
                    for row in rows.execute("SELECT key, sha256 FROM inbox WHERE key = ?", (key,)).fetchall()
                ]
                refuse_conflicts(found, messages)
                if len(found) == len(messages):
                    return False
                charge(rows, envelope.header, bill)
                insert(rows, envelope, None, data, file)
                record(rows, entry_of(envelope, now_ms(self._clock), inward=True))
                return True

            stored = self._database.write(work)
            if stored:
                undo.pop_all()
                _count("in", envelope.header.sender, envelope.header)
        return stored

    def find(self, key: str) -> Message | None:
        """The message, if it is here. Raises MessageGone."""
        found = self._database.read(_FIND, (key,))
        if not found:
            if self._database.read("SELECT 1 FROM inbox WHERE key = ? AND envelope IS NULL", (key,)):
                raise released(key)
            return None
        sender, sealed, sha256, size, offset, file, body = found[0]
        if file is None:
            place = Place(size, body[offset : offset + size])
        else:
            place = Place(size, path=self._spools.bodies / file, offset=offset)
        return Message(key, sender, bool(sealed), sha256, place)

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are here and not released."""
        query = f"SELECT key FROM inbox WHERE envelope IS NOT NULL AND key IN ({marks(keys)})"  # noqa: S608 - marks only
        return {key for (key,) in self._database.read(query, keys)}

    def release(self, keys: Collection[str]) -> None:
        """Delete bodies."""

        def work(rows: sqlite3.Connection) -> list[str]:
            files: list[str] = []
            for key in keys:
                found = rows.execute("SELECT envelope FROM inbox WHERE key = ?", (key,)).fetchone()
                if found is None or found[0] is None:
                    continue
                rows.execute("UPDATE inbox SET envelope = NULL WHERE key = ?", (key,))
                files += one_read(rows, found[0])
            return files

        self._delete(self._database.write(work))

    def queued(self, peer: str, *, large: bool, after: int, limit: int) -> list[Outgoing]:
        """Envelopes for a peer in order."""
        found = self._database.read(
            "SELECT sequence, canonical, signature, size, body, file FROM envelope "
            "WHERE inward = 0 AND peer = ? AND large = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (peer, int(large), after, limit),
        )
        outgoing = []
        for sequence, canonical, signature, size, body, file in found:
            place = Place(size, body or b"") if file is None else Place(size, path=self._spools.bodies / file)
            outgoing.append(Outgoing(sequence, stored_envelope(canonical, signature), place))
        return outgoing

    def delivered(self, sequences: Sequence[int]) -> None:
        """The peer holds them."""

        def work(rows: sqlite3.Connection) -> list[str]:
            return [name for sequence in sequences for name in drop(rows, sequence)]

        self._delete(self._database.write(work))

    def refused(self, outgoing: Outgoing, error: PlatformError) -> None:
        """The peer will never take it."""
        header = outgoing.envelope.header

        def work(rows: sqlite3.Connection) -> list[str]:
            rows.execute(
                "INSERT OR IGNORE INTO refusal VALUES (?, ?, ?, ?, ?, ?)",
                (header.job, header.task, header.attempt, error.code, error.message, error.hint),
            )
            return drop(rows, outgoing.sequence)

        self._delete(self._database.write(work))

    def refusal(self, job: str, task: str, attempt: int) -> PlatformError | None:
        """Why a message of the attempt was refused for good."""
        found = self._database.read(
            "SELECT message, hint FROM refusal WHERE job = ? AND task = ? AND attempt = ?", (job, task, attempt)
        )
        return MessageRefused(found[0][0], hint=found[0][1]) if found else None

    def backlog(self) -> dict[str, int]:
        """Envelopes waiting, by peer."""
        return dict(self._database.read("SELECT peer, count(*) FROM envelope WHERE inward = 0 GROUP BY peer"))

    def record_call(self, peer: str, method: str, size: int, sha256: str, *, inward: bool) -> None:
        """Put a call into the ledger."""
        entry = Entry(now_ms(self._clock), inward, peer, "", f"call/{method}", 1, size, sha256)
        self._database.write(lambda rows: record(rows, entry))

    def record_refused(self, attempted: Entry, code: str) -> None:
        """Put what was refused into the ledger."""
        entry = replace(refused_entry(attempted, code), at_ms=now_ms(self._clock))
        self._database.write(lambda rows: record(rows, entry))

    def first_call(self, peer: str, call: str, until_ms: int) -> bool:
        """Remember the id of a call."""

        def work(rows: sqlite3.Connection) -> bool:
            rows.execute("DELETE FROM answered WHERE until_ms < ?", (now_ms(self._clock),))
            before = rows.total_changes
            rows.execute("INSERT OR IGNORE INTO answered VALUES (?, ?, ?)", (peer, call, until_ms))
            return rows.total_changes > before

        return self._database.write(work)

    def ledger(self) -> list[tuple[Entry, str]]:
        """All entries with their recorded hashes."""
        found = self._database.read(f"SELECT {ENTRY}, chain FROM ledger ORDER BY sequence")  # noqa: S608 - constant
        return [(entry_in(row[:-1]), row[-1]) for row in found]

    def traffic(self, job: str) -> JobTraffic:
        """What the ledger says about a job."""
        query = f"SELECT {ENTRY} FROM ledger WHERE job = ? AND job <> ''"  # noqa: S608 - constant
        return summed(job, map(entry_in, self._database.read(query, (job,))))

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()

    def _placed(self, body: Body) -> Placed:
        return Placed(self._spools, body, sync=self._sync)

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self._spools.bodies / name).unlink(missing_ok=True)


def _count(direction: str, peer: str, header: Header) -> None:
    _PASSED.labels(direction, peer).inc(len(header.parts))
    _BYTES.labels(direction, peer).inc(header.size)
