"""The door for executors: each shows its token, sends what the contract allows, and waits for what is sent to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from gateway.errors import BadEnvelope
from gateway.inbound import Inbound
from gateway.outbound import Outbound
from gateway.tokens import Bearer, Tokens
from gateway.wire import CHUNK_BYTES, TOKEN_KEY, ExecutorServicer, answering, chunked, local

LONGEST_WAIT_S = 60.0


class ExecutorDoor(ExecutorServicer):
    """Service Executor of gateway/proto/local_v1.proto.

    Args:
        tokens: Who is who.
        outbound, inbound: The two ways.
        waiting: How many calls may wait at a time; the next ones are answered "nothing yet" at once, so that the
            threads never run out for those who send.
    """

    def __init__(self, tokens: Tokens, outbound: Outbound, inbound: Inbound, waiting: int) -> None:
        self._tokens = tokens
        self._outbound = outbound
        self._inbound = inbound
        self._waiting = threading.BoundedSemaphore(waiting)

    def Send(self, request: local.Parcel, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Keep small messages."""
        with answering(context):
            items = [(tuple(part.step), part.body) for part in request.parts]
            self._outbound.send(self._bearer(context), request.to, request.tag, items)
            return local.Done()

    def SendLarge(  # noqa: N802
        self, request_iterator: Iterator[local.Chunk | memoryview], context: grpc.ServicerContext
    ) -> local.Done:
        """Keep one message that streams in."""
        with answering(context):
            bearer = self._bearer(context)
            first = next(request_iterator, None)
            if not isinstance(first, local.Chunk) or len(first.parcel.parts) != 1:
                raise BadEnvelope("A large message begins with its parcel of one part.")
            parcel = first.parcel
            chunks = (chunk for chunk in request_iterator if isinstance(chunk, memoryview))
            self._outbound.send_large(bearer, parcel.to, parcel.tag, tuple(parcel.parts[0].step), chunks)
            return local.Done()

    def Take(  # type: ignore[override]  # noqa: N802 - chunks of data are views
        self, request: local.Wish, context: grpc.ServicerContext
    ) -> Iterator[local.Taken | memoryview]:
        """Wait for a message."""
        with answering(context):
            token = _token(context)
            may_wait = self._waiting.acquire(blocking=False)
            try:
                wait_s = min(request.wait_s, LONGEST_WAIT_S) if may_wait else 0.0
                on_gone = _on_gone(context)
                message = self._inbound.take(token, request.frm, request.tag, tuple(request.step), wait_s, on_gone)
            finally:
                if may_wait:
                    self._waiting.release()
            if message is None:
                yield local.Taken(nothing=True)
                return
            place = self._inbound.open(message)
            if place.path is not None and request.can_map and place.size > CHUNK_BYTES:
                yield local.Taken(frm=message.frm, size=place.size, path=str(place.path), offset=place.offset)
                return
            pieces = chunked(memoryview(place.buffer()).cast("B"))
            yield local.Taken(frm=message.frm, size=place.size, data=bytes(next(pieces, b"")))
            yield from pieces

    def Release(self, request: local.Consumed, context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Let go of messages."""
        with answering(context):
            items = [(item.frm, item.tag, tuple(item.step)) for item in request.items]
            self._inbound.release(self._bearer(context), items)
            return local.Done()

    def _bearer(self, context: grpc.ServicerContext) -> Bearer:
        return self._tokens.bearer(_token(context))


def _token(context: grpc.ServicerContext) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == TOKEN_KEY), "")


def _on_gone(context: grpc.ServicerContext) -> Callable[[Callable[[], None]], Any]:
    def register(leave: Callable[[], None]) -> None:
        if not context.add_callback(leave):
            leave()

    return register
