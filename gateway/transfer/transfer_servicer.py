"""Service Transfer, for other parties' gateways: who calls is told by the certificate, before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from gateway.calls.calls import Calls, SignedLetter
from gateway.envelope import MAX_HEADER_BYTES, Envelope, parse_envelope
from gateway.errors import BadEnvelope, JobClosed
from gateway.gate import Gate, Visit
from gateway.peers import PeerBook
from gateway.transfer.inbound import Inbound
from gateway.transfer.link import MINIMUM, PROTOCOL, check_protocol
from gateway.wire import TRANSFER, add_service, parsed, peer_certificate, transfer, unpacked
from party.card import Card
from runtime.errors import PlatformError
from runtime.problems import problem_of
from runtime.rpc import answering, unquoted

CALL_S = 60.0  # for callers that name no deadline
LONGEST_CALL_S = 600.0
WAY_BACK_S = 1.0  # of a caller's time, for our word that our Flow does not answer; of a short one a quarter
PUT_ENVELOPES = 256  # more than ours ever sends at once
PEER_CALLS = {"hello": 2, "put": 4, "deliver": 4, "call": 16}  # of one party at a time
SILENCE_S = 30.0
T = TypeVar("T")


class TransferServicer:
    """Service Transfer of gateway/proto/transfer_v1.proto.

    Args:
        book: The pinned certificates.
        inbound: Where envelopes go.
        calls: Where calls go.
        seen: Called with the party that said hello.
        recognised: Called at each call with the connection, as gRPC names it, and the party that it belongs to.
        gate: How much of this service one party may take; it has the limits of `PEER_CALLS`.
    """

    def __init__(
        self,
        book: PeerBook,
        inbound: Inbound,
        calls: Calls,
        seen: Callable[[str], None],
        recognised: Callable[[str, str], None],
        gate: Gate,
    ) -> None:
        self._book = book
        self._inbound = inbound
        self._calls = calls
        self._seen = seen
        self._recognised = recognised
        self._gate = gate

    def add_to(self, to: grpc.Server) -> None:
        """Serve it there."""
        add_service(to, TRANSFER, (self.Hello, self.Put, self.Offer, self.Deliver, self.Call))

    def Hello(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Greeting:  # noqa: N802
        """Compare versions and note that the peer is there."""
        with self._entered(context, "hello") as (sender, visit):
            request = parsed(transfer.Greeting, visit.only(came))
            check_protocol(sender.party, request.protocol, request.minimum)
            self._seen(sender.party)
            return transfer.Greeting(protocol=PROTOCOL, minimum=MINIMUM, now_ms=self._calls.now_ms())

    def Put(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Receipts:  # noqa: N802
        """Keep small envelopes."""
        with self._entered(context, "put") as (sender, visit):
            request = parsed(transfer.Envelopes, visit.only(came), field=1, most=PUT_ENVELOPES)

            def keep(message: transfer.Envelope) -> None:
                self._inbound.accept(sender, parse_envelope(message.header, message.signature), message.body)

            return transfer.Receipts(receipts=[self._receipt(sender, keep, m, m.header) for m in request.envelopes])

    def Offer(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Standing:  # noqa: N802
        """Say where the delivery of a large envelope goes on."""
        with self._entered(context, "put") as (sender, visit):
            request = parsed(transfer.Envelope, visit.only(came))
            have_bytes: int | None = None

            def look(message: transfer.Envelope) -> None:
                nonlocal have_bytes
                have_bytes = self._inbound.standing(sender, parse_envelope(message.header, message.signature))

            receipt = self._receipt(sender, look, request, request.header)
            if receipt.outcome == transfer.OUTCOME_STORED and have_bytes is not None:
                return transfer.Standing(have_bytes=have_bytes)
            return transfer.Standing(receipt=receipt)

    def Deliver(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Receipt:  # noqa: N802
        """Keep the body of a large envelope while it streams in."""
        with self._entered(context, "deliver") as (sender, visit):
            chunks = unpacked(transfer.Chunk, visit.messages(came))
            first = next(chunks, None)
            header = first.header if isinstance(first, transfer.Chunk) else b""

            def keep(first: transfer.Chunk | memoryview | None) -> None:
                if not isinstance(first, transfer.Chunk) or len(first.header) > MAX_HEADER_BYTES:
                    raise BadEnvelope("A delivery begins with its header.")
                envelope: Envelope = parse_envelope(first.header, first.signature)
                data = (chunk for chunk in chunks if isinstance(chunk, memoryview))
                self._inbound.deliver(sender, envelope, first.offset, data)

            return self._receipt(sender, keep, first, header)

    def Call(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Envelope:  # noqa: N802
        """Ask our Flow."""
        with self._entered(context, "call") as (sender, visit):
            request = parsed(transfer.Envelope, visit.only(came))
            letter = SignedLetter(request.header, request.signature, request.body)
            answer = self._calls.answer(sender, letter, answer_s(context.time_remaining()), context.add_callback)
            return transfer.Envelope(header=answer.header, signature=answer.signature, body=answer.body)

    @contextmanager
    def _entered(self, context: grpc.ServicerContext, kind: str) -> Iterator[tuple[Card, Visit]]:
        with answering(context, quoting=False):
            sender = self._sender(context)
            with self._gate.entered(sender.party, kind, context) as visit:
                yield sender, visit

    def _sender(self, context: grpc.ServicerContext) -> Card:
        card = self._book.by_certificate(peer_certificate(context))
        self._recognised(context.peer(), card.party)
        return card

    def _receipt(self, sender: Card, work: Callable[[T], None], message: T, header: bytes) -> transfer.Receipt:
        try:
            work(message)
        except JobClosed:  # nobody will read it any more: as good as delivered
            return transfer.Receipt(outcome=transfer.OUTCOME_STORED)
        except PlatformError as error:
            outcome = transfer.OUTCOME_LATER if error.retry else transfer.OUTCOME_REFUSED
            if not error.retry:
                self._inbound.refused(sender, header, error)
            problem = problem_of(unquoted(error))
            return transfer.Receipt(outcome=outcome, code=problem.code, message=problem.message, hint=problem.hint)
        return transfer.Receipt(outcome=transfer.OUTCOME_STORED)


def answer_s(left_s: float | None) -> float:
    """How long our Flow is asked, by how long the caller waits."""
    wanted_s = min(left_s or CALL_S, LONGEST_CALL_S)
    return wanted_s - min(WAY_BACK_S, wanted_s / 4)
