"""The one module that touches generated code: messages, services and their channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError

from gateway.errors import BadEnvelope, GatewayDown, PeerRefused
from gateway.proto import local_v1_pb2 as local
from gateway.proto import transfer_v1_pb2 as transfer
from gateway.proto.local_v1_pb2_grpc import AdminServicer as AdminMethods
from gateway.proto.local_v1_pb2_grpc import AdminStub, ExecutorStub
from gateway.proto.local_v1_pb2_grpc import add_AdminServicer_to_server as add_admin
from gateway.proto.transfer_v1_pb2_grpc import TransferStub
from gateway.streams import Parsed, count_parts, pack, unpacker
from runtime.rpc import unix_channel

__all__ = [
    "AdminMethods",
    "AdminStub",
    "ExecutorMethods",
    "ExecutorStub",
    "TransferMethods",
    "TransferStub",
    "add_admin",
    "add_executor",
    "add_transfer",
    "admin_channel",
    "chunked",
    "executor_channel",
    "executor_stub",
    "local",
    "parsed",
    "peer_certificate",
    "transfer",
    "transfer_stub",
    "unpacked",
]

CHUNK_BYTES = 1 << 20
TOKEN_KEY = "archipelago-token"  # noqa: S105 - the name of the metadata entry
_TRANSFER = "archipelago.transfer.v1.Transfer"
_EXECUTOR = "archipelago.local.v1.Executor"
M = TypeVar("M")


def executor_channel(socket: Path | str) -> grpc.Channel:
    """The way to our own gateway for executors. Nothing is connected yet."""
    return unix_channel(socket, keyed=False)


def admin_channel(socket: Path | str) -> grpc.Channel:
    """The way to it for the party's own services."""
    return unix_channel(socket)


def gateway_down(socket: Path | str) -> GatewayDown:
    """What to say when our own gateway does not answer."""
    return GatewayDown(f"The gateway does not answer at {socket}.", hint="See: flow party status")


def peer_certificate(context: grpc.ServicerContext) -> bytes:
    """The certificate the caller has shown, PEM. Raises PeerRefused if there is none."""
    shown = context.auth_context().get("x509_pem_cert")
    if not shown:
        raise PeerRefused("The caller shows no certificate.")
    return bytes(shown[0])


def chunked(data: memoryview, offset: int = 0) -> Iterator[memoryview]:
    """The bytes from `offset` on, in pieces that fit into messages."""
    for start in range(offset, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


class TransferMethods(Protocol):
    """Service Transfer as it is served here: every method is handed the bytes of its messages as they come."""

    def Hello(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Greeting:  # noqa: N802
        """One Greeting comes."""

    def Put(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Receipts:  # noqa: N802
        """One Envelopes comes."""

    def Offer(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Standing:  # noqa: N802
        """One Envelope comes."""

    def Deliver(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Receipt:  # noqa: N802
        """Chunks come."""

    def Call(self, came: Iterator[bytes], context: grpc.ServicerContext) -> transfer.Envelope:  # noqa: N802
        """One Envelope comes."""


class ExecutorMethods(Protocol):
    """Service Executor as it is served here: every method is handed the bytes of its messages as they come."""

    def Send(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """One Parcel comes."""

    def SendLarge(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """Chunks come."""

    def Take(  # noqa: N802
        self, came: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[local.Taken | memoryview]:
        """One Wish comes."""

    def Expect(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Arrived:  # noqa: N802
        """One Expected comes."""

    def Release(self, came: Iterator[bytes], context: grpc.ServicerContext) -> local.Done:  # noqa: N802
        """One Consumed comes."""


def parsed(kind: Parsed[M], raw: bytes, *, field: int = 0, most: int = 0) -> M:
    """The message in the bytes, which has the numbered field at most so often. Raises BadEnvelope."""
    try:
        if field and count_parts(raw, field, most) > most:
            raise BadEnvelope(f"One call brings more than {most} at once.", hint="Send them in several calls.")
        return kind.FromString(raw)
    except (DecodeError, ValueError):
        raise BadEnvelope("These bytes are not the message that the call has.") from None


def unpacked(kind: Parsed[M], came: Iterator[bytes]) -> Iterator[memoryview | M]:
    """The chunks of a stream: views where they hold nothing but data. Raises BadEnvelope."""
    unpack = unpacker(kind)
    for raw in came:
        try:
            yield unpack(raw)
        except DecodeError:
            raise BadEnvelope("These bytes are not a chunk.") from None


def add_transfer(servicer: TransferMethods, to: grpc.Server) -> None:
    """Serve Transfer. Nothing is read or parsed before the servicer has looked who calls."""
    _add(
        to,
        _TRANSFER,
        {
            "Hello": _answered_once(servicer.Hello, transfer.Greeting.SerializeToString),
            "Put": _answered_once(servicer.Put, transfer.Receipts.SerializeToString),
            "Offer": _answered_once(servicer.Offer, transfer.Standing.SerializeToString),
            "Deliver": _answered_once(servicer.Deliver, transfer.Receipt.SerializeToString),
            "Call": _answered_once(servicer.Call, transfer.Envelope.SerializeToString),
        },
    )


def add_executor(servicer: ExecutorMethods, to: grpc.Server) -> None:
    """Serve Executor. Nothing is read or parsed before the servicer has looked who calls."""
    _add(
        to,
        _EXECUTOR,
        {
            "Send": _answered_once(servicer.Send, local.Done.SerializeToString),
            "SendLarge": _answered_once(servicer.SendLarge, local.Done.SerializeToString),
            "Take": grpc.stream_stream_rpc_method_handler(servicer.Take, None, pack),
            "Expect": _answered_once(servicer.Expect, local.Arrived.SerializeToString),
            "Release": _answered_once(servicer.Release, local.Done.SerializeToString),
        },
    )


def _answered_once(method: Callable[..., Any], serialize: Callable[[Any], bytes]) -> grpc.RpcMethodHandler:
    # On the wire one request is a stream of one; served as a stream, the call reaches the servicer before its message.
    return grpc.stream_unary_rpc_method_handler(method, None, serialize)


def _add(to: grpc.Server, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
    to.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    to.add_registered_method_handlers(service, handlers)


def transfer_stub(channel: grpc.Channel) -> TransferStub:
    """The calls of Transfer; `Deliver` takes views for chunks of data."""
    stub = TransferStub(channel)
    deliver = channel.stream_unary(f"/{_TRANSFER}/Deliver", pack, transfer.Receipt.FromString, _registered_method=True)
    vars(stub)["Deliver"] = deliver
    return stub


def executor_stub(channel: grpc.Channel) -> ExecutorStub:
    """The calls of Executor; chunks of data are views."""
    stub = ExecutorStub(channel)
    send = channel.stream_unary(f"/{_EXECUTOR}/SendLarge", pack, local.Done.FromString, _registered_method=True)
    take = channel.unary_stream(
        f"/{_EXECUTOR}/Take", local.Wish.SerializeToString, unpacker(local.Taken), _registered_method=True
    )
    vars(stub).update(SendLarge=send, Take=take)
    return stub
