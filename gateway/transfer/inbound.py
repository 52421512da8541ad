"""What other parties send: checked against sender, signature and contract before the mailbox keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256

import pyarrow as pa

from gateway.contract import SEAL_BYTES, SEALED, check_size
from gateway.envelope import Envelope, check_part, verify_envelope
from gateway.errors import AttemptNotOpen, BadEnvelope, ContractViolation, DeliveryCut, ManifestsDiffer, PeerRefused
from gateway.mailbox.refusals import Refusals
from gateway.mailbox.store import Mailbox, Spool
from gateway.peers import PeerBook
from gateway.scalars import Bill, checked_values
from party.card import Card
from runtime.errors import PlatformError

MAX_HALVES = 16  # bodies of one sender that came in part and wait for the rest


@dataclass
class _Delivery:
    """One delivery that is coming in; a newer one of the same envelope takes the file over."""

    spool: Spool = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: bool = True  # until its file is open, and again once it is closed

    def write(self, data: bytes | memoryview) -> None:
        with self.lock:
            if self.over:
                raise DeliveryCut("The delivery was begun again by its sender.")
            self.spool.write(data)

    def end(self) -> bool:
        """Close the file and leave it; False if that was done before."""
        with self.lock:
            first, self.over = not self.over, True
            if first:
                self.spool.keep()
            return first


class Inbound:
    """The way from other parties into the mailbox.

    Args:
        mailbox: Where messages are kept.
        book: The senders' cards and who we are.
        newest_attempt: The newest attempt of a task (job, task) that has begun here; 0 if none has.
        arrived: Called with the keys of what was kept.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        book: PeerBook,
        *,
        newest_attempt: Callable[[str, str], int],
        arrived: Callable[[Sequence[str]], None],
    ) -> None:
        self._mailbox = mailbox
        self._book = book
        self._newest_attempt = newest_attempt
        self._arrived = arrived
        self.refusals = Refusals(mailbox)
        self._deliveries: dict[str, _Delivery] = {}
        self._deliveries_lock = threading.Lock()
        self._halves: dict[str, dict[str, str]] = {}  # by sender: half bodies, the oldest first, and their envelopes
        self._take_up_halves()

    def accept(self, sender: Card, envelope: Envelope, body: bytes) -> bool:
        """Keep a small envelope; False if it came before. Raises what `standing` raises, and BadEnvelope."""
        self._check(sender, envelope)
        if self._mailbox.held(envelope):
            return False
        stored = self._mailbox.put_in(envelope, body, self._checked(envelope, body))
        self._arrived(envelope.header.keys)
        return stored

    def standing(self, sender: Card, envelope: Envelope) -> int | None:
        """How many bytes of an offered envelope are here; None if it came before.

        Raises:
            PeerRefused: It is not from the party that offers it, or not for us.
            BadSignature: That party did not sign it.
            ManifestsDiffer: The job is open there under another manifest than here.
            ContractViolation: The job's contract does not allow it.
            MessageConflict: The same key came before with another body.
            JobNotOpen, JobClosed: The job takes nothing (yet, any more).
        """
        self._check(sender, envelope)
        if self._mailbox.held(envelope):
            return None
        self._take_over(envelope)
        return self._mailbox.spooled(_spool_name(envelope))

    def deliver(self, sender: Card, envelope: Envelope, offset: int, chunks: Iterable[bytes | memoryview]) -> bool:
        """Keep a large envelope whose body comes in chunks from `offset` on; what came stays if it is cut."""
        self._check(sender, envelope)
        delivery = self._begin(envelope, offset)
        try:
            for chunk in chunks:
                if delivery.spool.size + len(chunk) > envelope.header.size:
                    raise BadEnvelope("More bytes came than the header names.")
                delivery.write(chunk)
            with delivery.lock:
                return self._finish(envelope, delivery, resumed=offset > 0)
        finally:
            if delivery.end():
                self._forget(envelope, delivery)

    def refused(self, sender: Card, header: bytes, error: PlatformError) -> None:
        """Record that an envelope was refused for good."""
        self.refusals.envelope(sender.party, header, error)

    def _check(self, sender: Card, envelope: Envelope) -> None:
        header = envelope.header
        if header.sender != sender.party:
            raise PeerRefused(f"{sender.party} offers an envelope of {header.sender}.")
        if header.receiver != self._book.party:
            raise PeerRefused(f"{sender.party} offers {self._book.party} an envelope for {header.receiver}.")
        verify_envelope(sender, envelope)
        contract = self._mailbox.contract(header.job)
        if header.manifest not in (None, contract.manifest_digest):
            raise ManifestsDiffer(
                f"Job {header.job} is open under manifest {contract.manifest_digest[:12]} at {self._book.party} and "
                f"under {str(header.manifest)[:12]} at {sender.party}.",
                hint="Its initiator did not tell both the same; talk to that party.",
            )
        line = contract.line(header.task, header.tag, header.frm, header.to)
        if header.kind != line.kind or header.protection != line.protection:
            raise ContractViolation(f"Tag '{header.tag}': the header's kind or protection is not the contract's.")
        if header.sealed != (line.protection == SEALED):
            raise ContractViolation(f"Tag '{header.tag}': {line.protection} and sealed={header.sealed} do not agree.")
        for part in header.parts:
            check_size(line, part.size - SEAL_BYTES if header.sealed else part.size)
        newest = self._newest_attempt(header.job, header.task)
        if header.attempt > newest + 1:  # ours may begin a little later than theirs, but never two attempts later
            raise AttemptNotOpen(
                f"Attempt {header.attempt} of task '{header.task}' has not begun at {self._book.party}; "
                f"the newest there is {newest}."
            )

    def _checked(self, envelope: Envelope, body: bytes) -> Bill:
        """What a body takes of its line's budget, once it is the signed one and what its line allows."""
        header = envelope.header
        if len(body) != header.size or sha256(body).hexdigest() != header.sha256:
            raise BadEnvelope(f"The body of {header.keys[0]} does not match its header.")
        view = memoryview(body)
        pieces = [view[offset : offset + part.size] for part, offset in zip(header.parts, header.offsets, strict=True)]
        for key, part, piece in zip(header.keys, header.parts, pieces, strict=True):
            check_part(part, piece, key)
        return self._checked_values(envelope, map(pa.py_buffer, pieces))

    def _checked_values(self, envelope: Envelope, pieces: Iterable[pa.Buffer]) -> Bill:
        header = envelope.header
        if header.sealed:  # looked at once it is unsealed
            return Bill()
        line = self._mailbox.contract(header.job).line(header.task, header.tag, header.frm, header.to)
        return checked_values(line, pieces)

    def _begin(self, envelope: Envelope, offset: int) -> _Delivery:
        self._take_over(envelope)
        delivery = _Delivery()
        # Who holds a delivery's lock may take `_deliveries_lock`, never the other way round. What is in the file is
        # read back under the first alone, so that other deliveries go on meanwhile.
        with delivery.lock, ExitStack() as undo:
            with self._deliveries_lock:
                if envelope.id in self._deliveries:
                    raise DeliveryCut("Another delivery of this envelope has just begun.")
                self._deliveries[envelope.id] = delivery
            undo.callback(self._forget, envelope, delivery)
            self._make_room(envelope)
            spool = delivery.spool = self._mailbox.spool(_spool_name(envelope))
            undo.callback(spool.keep)
            if spool.size != offset:
                raise DeliveryCut(f"The delivery goes on at byte {offset}, but {spool.size} bytes are here.")
            delivery.over = False
            undo.pop_all()
        return delivery

    def _take_up_halves(self) -> None:
        """Count what was left before a restart, and delete what nobody can go on with."""
        jobs = set(self._mailbox.jobs())
        for name in self._mailbox.half_bodies():
            job, _, rest = name.partition(".")
            sender, _, envelope = rest.rpartition(".")
            if job in jobs and sender:
                self._halves.setdefault(sender, {})[name] = envelope
            else:
                self._mailbox.forget_spool(name)

    def _make_room(self, envelope: Envelope) -> None:
        """Note a half body, and delete the oldest of its sender that nobody goes on with if it has too many."""
        name = _spool_name(envelope)
        with self._deliveries_lock:
            halves = self._halves.setdefault(envelope.header.sender, {})
            halves.pop(name, None)
            halves[name] = envelope.id
            idle = [known for known, delivery in halves.items() if delivery not in self._deliveries]
            surplus = idle[: max(0, len(halves) - MAX_HALVES)]
            for known in surplus:
                del halves[known]
        for known in surplus:
            self._mailbox.forget_spool(known)

    def _finish(self, envelope: Envelope, delivery: _Delivery, *, resumed: bool) -> bool:
        header, spool = envelope.header, delivery.spool
        if delivery.over:
            raise DeliveryCut("The delivery was begun again by its sender.")
        if spool.size < header.size:
            raise DeliveryCut(f"The delivery ended after {spool.size} of {header.size} bytes.")
        try:
            stored = self._mailbox.put_in(envelope, spool, self._checked_spool(envelope, spool))
        except BadEnvelope as error:
            if resumed:  # what an earlier try left may be damaged: once more, from the first byte
                raise DeliveryCut(error.message) from None
            raise
        finally:
            delivery.over = True
            spool.abandon()
            self._forget(envelope, delivery)
            self._no_half_any_more(envelope)
        self._arrived(envelope.header.keys)
        return stored

    def _checked_spool(self, envelope: Envelope, spool: Spool) -> Bill:
        """As `_checked`, of a body that lies in a file: digests piece by piece, values from the map."""
        header = envelope.header
        if spool.hexdigest() != header.sha256:
            raise BadEnvelope(f"The body of {header.keys[0]} does not match its header.")
        whole = spool.buffer()
        for key, part, offset in zip(header.keys, header.parts, header.offsets, strict=True):
            alone = part.size == header.size
            if part.sha256 != (header.sha256 if alone else spool.part_digest(offset, part.size)):
                raise BadEnvelope(f"The body of {key} does not match its header.")
        places = zip(header.parts, header.offsets, strict=True)
        return self._checked_values(envelope, (whole.slice(offset, part.size) for part, offset in places))

    def _take_over(self, envelope: Envelope) -> None:
        with self._deliveries_lock:
            earlier = self._deliveries.get(envelope.id)
        if earlier is not None:
            earlier.end()  # before it is forgotten: while it is known nobody else opens its file
            self._forget(envelope, earlier)

    def _forget(self, envelope: Envelope, delivery: _Delivery) -> None:
        with self._deliveries_lock:
            if self._deliveries.get(envelope.id) is delivery:
                del self._deliveries[envelope.id]

    def _no_half_any_more(self, envelope: Envelope) -> None:
        with self._deliveries_lock:
            self._halves.get(envelope.header.sender, {}).pop(_spool_name(envelope), None)


def _spool_name(envelope: Envelope) -> str:
    """Names the half body of an envelope, so that a restart knows of which job and sender it is."""
    return f"{envelope.header.job}.{envelope.header.sender}.{envelope.id}"
