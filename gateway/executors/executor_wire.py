"""An executor's way to its party's gateway: values become messages, and waits outlive a restart of the gateway."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pyarrow as pa

from gateway.backoff import Backoff
from gateway.errors import MessageGone
from gateway.executors.coverage import Coverage, Incoming, Step
from gateway.mailbox.store import LARGE_BYTES, Place
from gateway.wire import TOKEN_KEY, ExecutorStub, chunked, executor_channel, executor_stub, gateway_down, local
from party.ids import Address
from runtime.errors import Unavailable
from runtime.rpc import rpc_error
from storage.client import Value, decode, encode

T = TypeVar("T")

PARCEL_BYTES = 1 << 20
PARCEL_PARTS = 2048
RELEASE_ITEMS = 10_000
WAIT_S = 30.0  # one question to the gateway; it is asked again for as long as it takes
BUSY_S = 0.05


class ExecutorWire:
    """Satisfies `algorithms.api.channel.Wire`.

    Args:
        socket_path: The gateway's socket for executors.
        token: For this address of this attempt.
        patience_s: How long a gateway that does not answer is tried again; None: for ever.
    """

    def __init__(self, socket_path: Path | str, token: str, *, patience_s: float | None = None) -> None:
        self._socket = str(socket_path).removeprefix("unix:")
        self._metadata = ((TOKEN_KEY, token),)
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: ExecutorStub | None = None
        self._coverage = Coverage()
        self._can_map = True

    def send(self, to: Address, tag: str, step: Step, value: Value) -> None:
        """Return once our gateway holds the message durably.

        Raises:
            ContractViolation: The job's contract does not allow it.
            TokenRefused: A newer incarnation has taken over, or the job is closed.
            MessageRefused: A peer refused an earlier message of this attempt for good.
        """
        self._send(to, tag, [(step, encode(value))])

    def send_many(self, to: Address, tag: str, values: Mapping[Step, Value]) -> None:
        """Several messages of one tag in as few envelopes as possible; each is received by its own step."""
        self._send(to, tag, [(step, encode(value)) for step, value in values.items()])

    def recv(self, frm: Address, tag: str, step: Step) -> Value:
        """Block until the message is here. Raises what `send` raises, and MessageGone where it was released."""
        incoming = (frm, tag, step)
        wish = local.Wish(message=_named(incoming), wait_s=WAIT_S, can_map=self._can_map)
        while True:
            asked = time.monotonic()
            body = self._patiently(lambda stub: self._take(stub, wish))
            if body is not None:
                self._coverage.took(incoming)
                return decode(body)
            _breathe(asked)

    def arrived(self, keys: Collection[Incoming]) -> set[Incoming]:
        """Those of the messages that are here and not released; does not wait. Raises what `send` raises."""
        return self.wait_any(keys, 0.0)

    def wait_any(self, keys: Collection[Incoming], timeout_s: float | None) -> set[Incoming]:
        """Block until one of them is here, or `timeout_s` is over; those that are here then.

        While the gateway does not answer nobody knows, so the answer may come later than that.
        """
        expected = list(keys)
        ask = local.Expected(messages=map(_named, expected))
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while expected:
            asked = time.monotonic()
            ask.wait_s = max(0.0, min(WAIT_S, deadline - asked))
            here = self._patiently(partial(self._expect, ask))
            if here or time.monotonic() >= deadline:
                return {expected[position] for position in here}
            _breathe(asked)
        return set()

    def checkpointed(self) -> None:
        """A checkpoint was stored: let go of what the oldest kept checkpoint covers."""
        self.release(self._coverage.checkpointed())

    def release(self, consumed: Sequence[Incoming]) -> None:
        """Let go of consumed messages: none of them is received again."""
        for at in range(0, len(consumed), RELEASE_ITEMS):
            batch = local.Consumed(messages=map(_named, consumed[at : at + RELEASE_ITEMS]))
            self._patiently(partial(self._release, batch))

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            channel.close()

    def _send(self, to: Address, tag: str, items: Sequence[tuple[Step, pa.Buffer]]) -> None:
        small = [(step, body) for step, body in items if body.size <= LARGE_BYTES]
        for parcel in _parcels(str(to), tag, small):
            self._patiently(partial(self._put, parcel))
        for step, body in items:
            if body.size > LARGE_BYTES:
                parcel = local.Parcel(to=str(to), tag=tag, parts=[local.Part(step=step)])
                self._patiently(partial(self._stream, parcel, body))

    def _put(self, parcel: local.Parcel, stub: ExecutorStub) -> None:
        stub.Send(parcel, metadata=self._metadata)

    def _stream(self, parcel: local.Parcel, body: pa.Buffer, stub: ExecutorStub) -> None:
        stub.SendLarge(_chunks(parcel, body), metadata=self._metadata)

    def _release(self, consumed: local.Consumed, stub: ExecutorStub) -> None:
        stub.Release(consumed, metadata=self._metadata)

    def _expect(self, expected: local.Expected, stub: ExecutorStub) -> Sequence[int]:
        return list(stub.Expect(expected, metadata=self._metadata).positions)

    def _take(self, stub: ExecutorStub, wish: local.Wish) -> pa.Buffer | None:
        pieces: Iterator[Any] = iter(stub.Take(wish, metadata=self._metadata))  # a header, then views
        first = next(pieces)
        if first.nothing:
            return None
        if first.path:
            try:
                place = Place(first.size, path=Path(first.path), offset=first.offset)
                return place.buffer()
            except (OSError, MessageGone):  # not our host's file, or not ours to read: have them sent from now on
                wish.can_map = self._can_map = False
                return self._take(stub, wish)
        if len(first.data) == first.size:
            return pa.py_buffer(first.data)
        body = bytearray(first.size)
        end = len(first.data)
        body[:end] = first.data
        for piece in pieces:
            body[end : end + len(piece)] = piece
            end += len(piece)
        return pa.py_buffer(body)

    def _patiently(self, ask: Callable[[ExecutorStub], T]) -> T:
        backoff = Backoff(0.5)
        started = time.monotonic()
        while True:
            try:
                return ask(self._connected())
            except grpc.RpcError as failure:
                error = rpc_error(failure, gateway_down(self._socket))
                if not isinstance(error, Unavailable) or self._out_of_patience(started):
                    raise error from None
            time.sleep(backoff.next())

    def _out_of_patience(self, started: float) -> bool:
        return self._patience_s is not None and time.monotonic() - started > self._patience_s

    def _connected(self) -> ExecutorStub:
        with self._lock:
            if self._stub is None:
                self._channel = executor_channel(self._socket)
                self._stub = executor_stub(self._channel)
            return self._stub


def _named(incoming: Incoming) -> local.Incoming:
    frm, tag, step = incoming
    return local.Incoming(frm=str(frm), tag=tag, step=step)


def _breathe(asked: float) -> None:
    """Wait a little where the answer came at once: the gateway has no thread to wait in."""
    if time.monotonic() - asked < BUSY_S:
        time.sleep(BUSY_S)


def _parcels(to: str, tag: str, items: Sequence[tuple[Step, pa.Buffer]]) -> Iterator[local.Parcel]:
    parts: list[local.Part] = []
    size = 0
    for step, body in items:
        if parts and (size + body.size > PARCEL_BYTES or len(parts) >= PARCEL_PARTS):
            yield local.Parcel(to=to, tag=tag, parts=parts)
            parts, size = [], 0
        parts.append(local.Part(step=step, body=body.to_pybytes()))
        size += body.size
    if parts:
        yield local.Parcel(to=to, tag=tag, parts=parts)


def _chunks(parcel: local.Parcel, body: pa.Buffer) -> Iterator[local.Chunk | memoryview]:
    yield local.Chunk(parcel=parcel)
    yield from chunked(memoryview(body).cast("B"))
