"""The door that other parties' gateways knock at: who knocks is told by the certificate, before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from gateway.calls import Calls, Sealed
from gateway.envelope import MAX_HEADER_BYTES, Envelope, parse_envelope
from gateway.errors import BadEnvelope, JobClosed
from gateway.inbound import Inbound
from gateway.link import MINIMUM, PROTOCOL, check_protocol
from gateway.peers import PeerBook
from gateway.wire import TransferServicer, answering, peer_certificate, problem_of, transfer
from party.card import Card
from party.errors import PlatformError
from party.log import get_logger

CALL_S = 60.0  # for callers that name no deadline
T = TypeVar("T")
_log = get_logger("gateway")


class TransferDoor(TransferServicer):
    """Service Transfer of gateway/proto/transfer_v1.proto.

    Args:
        book: The pinned certificates.
        inbound: Where envelopes go.
        calls: Where calls go.
        seen: Called with the party that said hello.
        recognised: Called at each call with the connection, as gRPC names it, and the party that it belongs to.
    """

    def __init__(
        self,
        book: PeerBook,
        inbound: Inbound,
        calls: Calls,
        seen: Callable[[str], None],
        recognised: Callable[[str, str], None],
    ) -> None:
        self._book = book
        self._inbound = inbound
        self._calls = calls
        self._seen = seen
        self._recognised = recognised

    def Hello(self, request: transfer.Greeting, context: grpc.ServicerContext) -> transfer.Greeting:  # noqa: N802
        """Compare versions and note that the peer is there."""
        with answering(context):
            sender = self._sender(context)
            check_protocol(sender.party, request.protocol, request.minimum)
            self._seen(sender.party)
            return transfer.Greeting(protocol=PROTOCOL, minimum=MINIMUM)

    def Put(self, request: transfer.Envelopes, context: grpc.ServicerContext) -> transfer.Receipts:  # noqa: N802
        """Keep small envelopes."""
        with answering(context):
            sender = self._sender(context)

            def keep(message: transfer.Envelope) -> None:
                self._inbound.accept(sender, parse_envelope(message.header, message.signature), message.body)

            return transfer.Receipts(receipts=[_receipt(sender, keep, message) for message in request.envelopes])

    def Offer(self, request: transfer.Envelope, context: grpc.ServicerContext) -> transfer.Standing:  # noqa: N802
        """Say where the delivery of a large envelope goes on."""
        with answering(context):
            sender = self._sender(context)
            have_bytes: int | None = None

            def look(message: transfer.Envelope) -> None:
                nonlocal have_bytes
                have_bytes = self._inbound.standing(sender, parse_envelope(message.header, message.signature))

            receipt = _receipt(sender, look, request)
            if receipt.outcome == transfer.OUTCOME_STORED and have_bytes is not None:
                return transfer.Standing(have_bytes=have_bytes)
            return transfer.Standing(receipt=receipt)

    def Deliver(  # noqa: N802
        self, request_iterator: Iterator[transfer.Chunk | memoryview], context: grpc.ServicerContext
    ) -> transfer.Receipt:
        """Keep the body of a large envelope while it streams in."""
        with answering(context):
            sender = self._sender(context)

            def keep(chunks: Iterator[transfer.Chunk | memoryview]) -> None:
                first = next(chunks, None)
                if not isinstance(first, transfer.Chunk) or len(first.header) > MAX_HEADER_BYTES:
                    raise BadEnvelope("A delivery begins with its header.")
                envelope: Envelope = parse_envelope(first.header, first.signature)
                data = (chunk for chunk in chunks if isinstance(chunk, memoryview))
                self._inbound.deliver(sender, envelope, first.offset, data)

            return _receipt(sender, keep, request_iterator)

    def Call(self, request: transfer.Envelope, context: grpc.ServicerContext) -> transfer.Envelope:  # noqa: N802
        """Ask our Flow."""
        with answering(context):
            sender = self._sender(context)
            left_s = context.time_remaining()
            letter = Sealed(request.header, request.signature, request.body)
            answer = self._calls.answer(sender, letter, min(left_s or CALL_S, 3600.0))
            return transfer.Envelope(header=answer.header, signature=answer.signature, body=answer.body)

    def _sender(self, context: grpc.ServicerContext) -> Card:
        card = self._book.by_certificate(peer_certificate(context))
        self._recognised(context.peer(), card.party)
        return card


def _receipt(sender: Card, work: Callable[[T], None], message: T) -> transfer.Receipt:
    try:
        work(message)
    except JobClosed:  # nobody will read it any more: as good as delivered
        return transfer.Receipt(outcome=transfer.OUTCOME_STORED)
    except PlatformError as error:
        outcome = transfer.OUTCOME_LATER if error.retry else transfer.OUTCOME_REFUSED
        if not error.retry:
            _log.warning("Refused an envelope", peer=sender.party, code=error.code, reason=error.message)
        problem = problem_of(error)
        return transfer.Receipt(outcome=outcome, code=problem.code, message=problem.message, hint=problem.hint)
    return transfer.Receipt(outcome=transfer.OUTCOME_STORED)
