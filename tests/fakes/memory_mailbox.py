"""The mailbox in memory: for tests, and the plainest statement of what the mailbox does."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import pyarrow as pa

from gateway.contract import JobContract, seen_keys
from gateway.envelope import Envelope, Header, Part
from gateway.errors import ContractChanged, JobClosed, JobNotOpen, MessageConflict
from gateway.mailbox.ledger import START, Entry, JobTraffic, entry_of, refused_entry, summed
from gateway.mailbox.rows import released
from gateway.mailbox.store import LARGE_BYTES, NOTHING, Body, Message, Outgoing, Place, Spool
from gateway.scalars import Bill, Spent, spend
from runtime.clock import Clock, SystemClock
from runtime.errors import PlatformError


class MemorySpool:
    """A body that is being written into memory."""

    def __init__(self, kept: dict[str, bytes], name: str) -> None:
        self._kept = kept
        self._name = name
        self._data = bytearray(kept.get(name, b""))

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self._data)

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._data += data

    def hexdigest(self) -> str:
        """SHA-256 of what was written."""
        return sha256(self._data).hexdigest()

    def part_digest(self, offset: int, size: int) -> str:
        """SHA-256 of a part of it."""
        return sha256(self._data[offset : offset + size]).hexdigest()

    def buffer(self) -> pa.Buffer:
        """What was written."""
        return pa.py_buffer(bytes(self._data))

    def keep(self) -> None:
        """Leave it for a later try."""
        if self._name:
            self._kept[self._name] = bytes(self._data)

    def abandon(self) -> None:
        """Forget it."""
        self._kept.pop(self._name, None)


@dataclass
class _Inward:
    digest: str
    message: Message | None  # None: released


class MemoryMailbox:
    """See `gateway.mailbox.store.Mailbox`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._contracts: dict[str, JobContract | None] = {}  # None: closed
        self._spools: dict[str, bytes] = {}
        self._out_keys: dict[str, str] = {}  # key -> job
        self._queue: dict[int, tuple[str, Outgoing]] = {}
        self._sequence = 0
        self._inbox: dict[str, _Inward] = {}
        self._refusals: dict[tuple[str, str, int], PlatformError] = {}
        self._ledger: list[tuple[Entry, str]] = []
        self._spent: dict[str, Spent] = {}
        self._keys: dict[tuple[str, str, int], dict[str, str]] = {}
        self._calls: dict[tuple[str, str], int] = {}

    def open_job(self, contract: JobContract) -> None:
        """Take messages of this job from now on."""
        with self._lock:
            if contract.job not in self._contracts:
                self._contracts[contract.job] = contract
            elif self.contract(contract.job).digest != contract.digest:
                raise ContractChanged(f"Job {contract.job} is open with another contract.")

    def close_job(self, job: str) -> JobTraffic:
        """Delete the job's messages and take no more."""
        with self._lock:
            self._contracts[job] = None
            prefix = f"{job}/"
            self._out_keys = {key: owner for key, owner in self._out_keys.items() if owner != job}
            self._spent = {key: spent for key, spent in self._spent.items() if not key.startswith(prefix)}
            self._keys = {attempt: keys for attempt, keys in self._keys.items() if attempt[0] != job}
            self._inbox = {key: kept for key, kept in self._inbox.items() if not key.startswith(prefix)}
            self._queue = {n: kept for n, kept in self._queue.items() if kept[1].envelope.header.job != job}
            self._refusals = {attempt: error for attempt, error in self._refusals.items() if attempt[0] != job}
            return self.traffic(job)

    def jobs(self) -> list[str]:
        """The open jobs."""
        with self._lock:
            return sorted(job for job, contract in self._contracts.items() if contract is not None)

    def contract(self, job: str) -> JobContract:
        """The contract of an open job."""
        with self._lock:
            if job not in self._contracts:
                raise JobNotOpen(f"Job {job} is not open at this party.")
            contract = self._contracts[job]
        if contract is None:
            raise JobClosed(f"Job {job} is closed at this party.")
        return contract

    def spool(self, name: str = "") -> Spool:
        """A new body, or what an earlier try left under the name."""
        return MemorySpool(self._spools, name)

    def spooled(self, name: str) -> int:
        """How many bytes an earlier try left under the name."""
        return len(self._spools.get(name, b""))

    def forget_spool(self, name: str) -> None:
        """Delete what an earlier try left under the name."""
        self._spools.pop(name, None)

    def half_bodies(self) -> list[str]:
        """The names of what earlier tries left, the oldest first."""
        return list(self._spools)

    def taken(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that were sent from here before."""
        with self._lock:
            return {key for key in keys if key in self._out_keys}

    def put_out(self, envelope: Envelope, body: Body, peer: str | None, bill: Bill = NOTHING) -> bool:
        """Queue for a peer, or keep it if it is for ourselves."""
        data = _finished(body)
        with self._lock:
            self.contract(envelope.header.job)
            keys = envelope.header.keys
            if self.taken(keys):
                return False
            self._charge(envelope.header, bill)
            self._out_keys.update(dict.fromkeys(keys, envelope.header.job))
            if peer is None:
                self._keep(envelope, data)
                return True
            self._sequence += 1
            self._queue[self._sequence] = (peer, Outgoing(self._sequence, envelope, Place(len(data), data)))
            self._record(entry_of(envelope, self._now_ms(), inward=False))
            return True

    def held(self, envelope: Envelope) -> bool:
        """Whether all its messages came before."""
        with self._lock:
            self.contract(envelope.header.job)
            found = [self._same(key, part.sha256) for key, part in _keyed(envelope)]
            return all(found)

    def put_in(self, envelope: Envelope, body: Body, bill: Bill = NOTHING) -> bool:
        """Keep what a peer sent."""
        with self._lock:
            known = self.held(envelope)
            data = _finished(body)
            if known:
                return False
            self._charge(envelope.header, bill)
            self._keep(envelope, data)
            self._record(entry_of(envelope, self._now_ms(), inward=True))
            return True

    def find(self, key: str) -> Message | None:
        """The message, if it is here. Raises MessageGone."""
        with self._lock:
            kept = self._inbox.get(key)
            if kept is not None and kept.message is None:
                raise released(key)
            return kept.message if kept is not None else None

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are here and not released."""
        with self._lock:
            return {key for key in keys if key in self._inbox and self._inbox[key].message is not None}

    def release(self, keys: Collection[str]) -> None:
        """Delete bodies."""
        with self._lock:
            for key in keys:
                if key in self._inbox:
                    self._inbox[key].message = None

    def queued(self, peer: str, *, large: bool, after: int, limit: int) -> list[Outgoing]:
        """Envelopes for a peer in order."""
        with self._lock:
            waiting = [kept for to, kept in self._queue.values() if to == peer and kept.sequence > after]
            return [kept for kept in waiting if (kept.place.size > LARGE_BYTES) == large][:limit]

    def delivered(self, sequences: Sequence[int]) -> None:
        """The peer holds them."""
        with self._lock:
            for sequence in sequences:
                self._queue.pop(sequence, None)

    def refused(self, outgoing: Outgoing, error: PlatformError) -> None:
        """The peer will never take it."""
        header = outgoing.envelope.header
        with self._lock:
            self._refusals[header.job, header.task, header.attempt] = error
            self._queue.pop(outgoing.sequence, None)

    def refusal(self, job: str, task: str, attempt: int) -> PlatformError | None:
        """Why a message of the attempt was refused for good."""
        with self._lock:
            return self._refusals.get((job, task, attempt))

    def backlog(self) -> dict[str, int]:
        """Envelopes waiting, by peer."""
        with self._lock:
            peers = [peer for peer, _ in self._queue.values()]
            return {peer: peers.count(peer) for peer in sorted(set(peers))}

    def record_call(self, peer: str, method: str, size: int, sha256: str, *, inward: bool) -> None:
        """Put a call into the ledger."""
        with self._lock:
            self._record(Entry(self._now_ms(), inward, peer, "", f"call/{method}", 1, size, sha256))

    def record_refused(self, attempted: Entry, code: str) -> None:
        """Put what was refused into the ledger."""
        with self._lock:
            self._record(replace(refused_entry(attempted, code), at_ms=self._now_ms()))

    def first_call(self, peer: str, call: str, until_ms: int) -> bool:
        """Remember the id of a call."""
        with self._lock:
            self._calls = {known: until for known, until in self._calls.items() if until >= self._now_ms()}
            first = (peer, call) not in self._calls
            self._calls.setdefault((peer, call), until_ms)
            return first

    def ledger(self) -> list[tuple[Entry, str]]:
        """All entries with their recorded hashes."""
        with self._lock:
            return list(self._ledger)

    def traffic(self, job: str) -> JobTraffic:
        """What the ledger says about a job."""
        with self._lock:
            return summed(job, [entry for entry, _ in self._ledger if entry.job == job])

    def close(self) -> None:
        """Nothing to let go of."""

    def _keep(self, envelope: Envelope, data: bytes) -> None:
        header = envelope.header
        for (key, part), offset in zip(_keyed(envelope), header.offsets, strict=True):
            place = Place(part.size, data[offset : offset + part.size])
            message = Message(key, header.frm, header.sealed, part.sha256, place)
            self._inbox.setdefault(key, _Inward(part.sha256, message))

    def _same(self, key: str, digest: str) -> bool:
        kept = self._inbox.get(key)
        if kept is None:
            return False
        if kept.digest != digest:
            raise MessageConflict(f"Message {key} came before with another body.")
        return True

    def _charge(self, header: Header, bill: Bill) -> None:
        conversation, attempt = header.conversation.key(()), (header.job, header.task, header.attempt)
        spent = spend(self._spent.get(conversation, Spent()), bill)
        self._keys[attempt] = seen_keys(self._keys.get(attempt, {}), bill.keys)
        self._spent[conversation] = spent

    def _record(self, entry: Entry) -> None:
        before = self._ledger[-1][1] if self._ledger else START
        self._ledger.append((entry, entry.chained(before)))

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _keyed(envelope: Envelope) -> list[tuple[str, Part]]:
    return list(zip(envelope.header.keys, envelope.header.parts, strict=True))


def _finished(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    data: bytes = body.buffer().to_pybytes()
    body.abandon()
    return data
