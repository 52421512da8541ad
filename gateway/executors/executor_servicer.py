"""Service Executor: each caller shows its token, sends what the contract allows, and waits for what is sent to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from gateway.envelope import MAX_PARTS, checked_step, checked_tag
from gateway.errors import BadEnvelope
from gateway.executors.inbox import Inbox, Incoming
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Bearer, Tokens
from gateway.gate import Gate, Visit
from gateway.wire import CHUNK_BYTES, EXECUTOR, TOKEN_KEY, add_service, chunked, local, parsed, unpacked
from runtime.rpc import answering

LONGEST_WAIT_S = 60.0
EXECUTOR_CALLS = {"take": 256, "send": 16}  # of one executor at a time
MAX_EXPECTED = 4096  # in one call
MAX_RELEASED = 50_000  # in one call


class ExecutorServicer:
    """Service Executor of gateway/proto/local_v1.proto.

    Args:
        tokens: Who is who.
        outbound, inbox: The two ways.
        waiting: How many calls may wait at a time; the next ones are answered "nothing yet" at once, so that the
            threads never run out for those who send.
        gate: How much of this service one executor may take; it has the limits of `EXECUTOR_CALLS`.
    """

    def __init__(self, tokens: Tokens, outbound: Outbound, inbox: Inbox, waiting: int, gate: Gate) -> None:
        self._tokens = tokens
        self._outbound = outbound
        self._inbox = inbox
        self._waiting = threading.BoundedSemaphore(waiting)
        self._gate = gate

    def add_to(self, to: grpc.Server) -> None:
        """Serve it there."""
        add_service(to, EXECUTOR, (self.Send, self.SendLarge, self.Expect, self.Release), (self.Take,))

    def Send(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Keep small messages."""
        with self._entered(context, "send") as (bearer, visit):
            request = parsed(local.Parcel, visit.only(came), field=3, most=MAX_PARTS)
            items = [(checked_step(part.step), part.body) for part in request.parts]
            self._outbound.send(bearer, request.to, request.tag, items)
            return local.Done()

    def SendLarge(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Keep one message that streams in."""
        with self._entered(context, "send") as (bearer, visit):
            chunks = unpacked(local.Chunk, visit.messages(came))
            first = next(chunks, None)
            if not isinstance(first, local.Chunk) or len(first.parcel.parts) != 1:
                raise BadEnvelope("A large message begins with its parcel of one part.")
            parcel = first.parcel
            data = (chunk for chunk in chunks if isinstance(chunk, memoryview))
            self._outbound.send_large(bearer, parcel.to, parcel.tag, checked_step(parcel.parts[0].step), data)
            return local.Done()

    def Take(self, came: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[local.Taken | memoryview]:  # noqa: N802
        """Wait for a message."""
        with self._entered(context, "take") as (_, visit):
            request = parsed(local.Wish, visit.only(came))
            with self._may_wait(request.wait_s) as wait_s:
                message = self._inbox.take(_token(context), _incoming(request.message), wait_s, _on_gone(context))
            if message is None:
                yield local.Taken(nothing=True)
                return
            place = self._inbox.open(message)
            if place.path is not None and request.can_map and place.size > CHUNK_BYTES:
                yield local.Taken(size=place.size, path=str(place.path), offset=place.offset)
                return
            pieces = chunked(memoryview(place.buffer()).cast("B"))
            yield local.Taken(size=place.size, data=bytes(next(pieces, b"")))
            yield from pieces

    def Expect(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Arrived:  # noqa: N802
        """Say which messages are here."""
        with self._entered(context, "take") as (_, visit):
            request = parsed(local.Expected, visit.only(came), field=1, most=MAX_EXPECTED)
            expected = [_incoming(message) for message in request.messages]
            with self._may_wait(request.wait_s) as wait_s:
                here = self._inbox.expect(_token(context), expected, wait_s, _on_gone(context))
            return local.Arrived(positions=here)

    def Release(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Let go of messages."""
        with self._entered(context, "send") as (bearer, visit):
            request = parsed(local.Consumed, visit.only(came), field=1, most=MAX_RELEASED)
            self._inbox.release(bearer, map(_incoming, request.messages))
            return local.Done()

    @contextmanager
    def _entered(self, context: grpc.ServicerContext, kind: str) -> Iterator[tuple[Bearer, Visit]]:
        with answering(context, quoting=False):
            bearer = self._tokens.bearer(_token(context))
            caller = f"{bearer.address} of {bearer.job}/{bearer.task}"
            with self._gate.entered(caller, kind, context) as visit:
                yield bearer, visit

    @contextmanager
    def _may_wait(self, wait_s: float) -> Iterator[float]:
        """How long the call may wait: not at all where too many do."""
        may_wait = self._waiting.acquire(blocking=False)
        try:
            yield min(wait_s, LONGEST_WAIT_S) if may_wait and wait_s > 0 else 0.0
        finally:
            if may_wait:
                self._waiting.release()


def _incoming(message: local.Incoming) -> Incoming:
    return message.frm, checked_tag(message.tag), checked_step(message.step)


def _token(context: grpc.ServicerContext) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == TOKEN_KEY), "")


def _on_gone(context: grpc.ServicerContext) -> Callable[[Callable[[], None]], Any]:
    def register(leave: Callable[[], None]) -> None:
        if not context.add_callback(leave):
            leave()

    return register
