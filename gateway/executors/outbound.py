"""What leaves: checked against the job's contract, sealed where it says so, signed, and put into the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

import pyarrow as pa

from gateway.contract import SEALED, ContractLine, check_size
from gateway.envelope import Conversation, Header, Part, Step, checked_tag, signed, unsigned
from gateway.executors.tokens import Bearer
from gateway.mailbox.refusals import Refusals
from gateway.mailbox.store import Body, Mailbox
from gateway.peers import PeerBook
from gateway.scalars import Bill, checked_values
from party.ids import Address
from party.seal import seal
from runtime.errors import Denied, InvalidInput


class Outbound:
    """The way from our executors into the outbox, or straight into our own inbox.

    Args:
        mailbox: Where messages are kept.
        book: Our keys and the receivers' cards.
        left: Called with the peer once an envelope waits for it.
        arrived: Called with the keys of messages for ourselves.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        book: PeerBook,
        *,
        left: Callable[[str], None],
        arrived: Callable[[Sequence[str]], None],
    ) -> None:
        self._mailbox = mailbox
        self._book = book
        self._left = left
        self._arrived = arrived
        self.refusals = Refusals(mailbox)

    def line(self, bearer: Bearer, to: str, tag: str) -> ContractLine:
        """The line that allows the bearer to send this tag.

        Raises:
            ContractViolation: No line does.
            MessageRefused: A peer refused an earlier message of the attempt for good.
        """
        refusal = self._mailbox.refusal(bearer.job, bearer.task, bearer.attempt)
        if refusal is not None:
            raise refusal
        return self._mailbox.contract(bearer.job).line(bearer.task, checked_tag(tag), bearer.address, to)

    def send(self, bearer: Bearer, to: str, tag: str, items: Sequence[tuple[Step, bytes]]) -> None:
        """Keep small messages durably, but those sent before. Raises ContractViolation, BudgetSpent, KeyChanged."""
        with self._recorded(bearer, to, tag, sum(len(body) for _, body in items)):
            self._send(bearer, to, tag, items)

    def send_large(self, bearer: Bearer, to: str, tag: str, step: Step, chunks: Iterable[bytes | memoryview]) -> None:
        """Keep one message that comes in chunks. Raises ContractViolation, BudgetSpent, KeyChanged."""
        with self._recorded(bearer, to, tag, 0):
            self._send_large(bearer, to, tag, step, chunks)

    def _send(self, bearer: Bearer, to: str, tag: str, items: Sequence[tuple[Step, bytes]]) -> None:
        line = self.line(bearer, to, tag)
        conversation = _conversation(bearer, to, tag)
        while True:
            taken = self._mailbox.taken([conversation.key(step) for step, _ in items])
            fresh = [(step, body) for step, body in items if conversation.key(step) not in taken]
            if not fresh:
                return
            for _, body in fresh:
                check_size(line, len(body))
            bill = checked_values(line, (body for _, body in fresh))
            bodies = [self._sealed(line, conversation, step, body) for step, body in fresh]
            steps = [step for step, _ in fresh]
            parts = [_part(step, body) for step, body in zip(steps, bodies, strict=True)]
            if self._put(line, conversation, parts, b"".join(bodies), bill):
                return

    def _send_large(self, bearer: Bearer, to: str, tag: str, step: Step, chunks: Iterable[bytes | memoryview]) -> None:
        line = self.line(bearer, to, tag)
        conversation = _conversation(bearer, to, tag)
        key = conversation.key(step)
        if self._mailbox.taken([key]):
            return
        spool = self._mailbox.spool()
        try:
            for chunk in chunks:
                check_size(line, spool.size + len(chunk))
                spool.write(chunk)
            bill = checked_values(line, (spool.buffer(),))
            if self._to_seal(line, conversation):
                body = self._sealed(line, conversation, step, spool.buffer())
                self._put(line, conversation, [_part(step, body)], body, bill)
            else:
                part = Part(step=step, size=spool.size, sha256=spool.hexdigest())
                self._put(line, conversation, [part], spool, bill)
        finally:
            spool.abandon()

    @contextmanager
    def _recorded(self, bearer: Bearer, to: str, tag: str, size: int) -> Iterator[None]:
        try:
            yield
        except (Denied, InvalidInput) as error:
            self.refusals.outward(_conversation(bearer, to, tag), size, error)
            raise

    def _put(
        self, line: ContractLine, conversation: Conversation, parts: Sequence[Part], body: Body, bill: Bill
    ) -> bool:
        single = len(parts) == 1
        sender, receiver = Address.parse(conversation.frm).party, Address.parse(conversation.to).party
        header = Header.model_validate(
            {
                "sender": sender,
                "receiver": receiver,
                "job": conversation.job,
                "manifest": self._mailbox.contract(conversation.job).manifest_digest,
                "task": conversation.task,
                "attempt": conversation.attempt,
                "from": conversation.frm,
                "to": conversation.to,
                "tag": conversation.tag,
                "kind": str(line.kind),
                "protection": str(line.protection),
                "sealed": self._to_seal(line, conversation),
                "size": sum(part.size for part in parts),
                "sha256": parts[0].sha256 if single or not isinstance(body, bytes) else sha256(body).hexdigest(),
                "parts": tuple(parts),
            }
        )
        if receiver == self._book.party:
            stored = self._mailbox.put_out(unsigned(header), body, None, bill)
            self._arrived(header.keys)
            return stored
        self._book.card(receiver)
        stored = self._mailbox.put_out(signed(self._book.keys, header), body, receiver, bill)
        self._left(receiver)
        return stored

    def _to_seal(self, line: ContractLine, conversation: Conversation) -> bool:
        return line.protection == SEALED and Address.parse(conversation.to).party != self._book.party

    def _sealed(self, line: ContractLine, conversation: Conversation, step: Step, body: bytes | pa.Buffer) -> bytes:
        if not self._to_seal(line, conversation):
            return bytes(body)
        receiver = self._book.card(Address.parse(conversation.to).party)
        return seal(receiver, memoryview(body).cast("B"), conversation.key(step).encode())


def _conversation(bearer: Bearer, to: str, tag: str) -> Conversation:
    return Conversation(bearer.job, bearer.task, bearer.attempt, bearer.address, to, tag)


def _part(step: Step, body: bytes) -> Part:
    return Part(step=step, size=len(body), sha256=sha256(body).hexdigest())
