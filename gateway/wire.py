"""The one module that touches generated code: messages, services and their channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

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
    "EXECUTOR",
    "TRANSFER",
    "AdminMethods",
    "AdminStub",
    "ExecutorStub",
    "TransferStub",
    "add_admin",
    "add_service",
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
TRANSFER = "archipelago.transfer.v1.Transfer"
EXECUTOR = "archipelago.local.v1.Executor"
M = TypeVar("M")
Method = Callable[[Iterator[bytes], grpc.ServicerContext], Any]


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


def add_service(
    to: grpc.Server, name: str, answered_once: Sequence[Method], answered_in_pieces: Sequence[Method] = ()
) -> None:
    """Serve methods that are handed the bytes of their messages as they come: who calls is looked at before them."""
    # On the wire one request is a stream of one; served as a stream, the call reaches its method before its message.
    handlers = {method.__name__: grpc.stream_unary_rpc_method_handler(method, None, pack) for method in answered_once}
    for method in answered_in_pieces:
        handlers[method.__name__] = grpc.stream_stream_rpc_method_handler(method, None, pack)
    to.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    to.add_registered_method_handlers(name, handlers)


def transfer_stub(channel: grpc.Channel) -> TransferStub:
    """The calls of Transfer; `Deliver` takes views for chunks of data."""
    stub = TransferStub(channel)
    deliver = channel.stream_unary(f"/{TRANSFER}/Deliver", pack, transfer.Receipt.FromString, _registered_method=True)
    vars(stub)["Deliver"] = deliver
    return stub


def executor_stub(channel: grpc.Channel) -> ExecutorStub:
    """The calls of Executor; chunks of data are views."""
    stub = ExecutorStub(channel)
    send = channel.stream_unary(f"/{EXECUTOR}/SendLarge", pack, local.Done.FromString, _registered_method=True)
    take = channel.unary_stream(
        f"/{EXECUTOR}/Take", local.Wish.SerializeToString, unpacker(local.Taken), _registered_method=True
    )
    vars(stub).update(SendLarge=send, Take=take)
    return stub
