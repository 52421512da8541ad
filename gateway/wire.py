"""The one module that touches generated code: messages, services, channel settings, and errors on the wire.

Errors travel in the status details, as `runtime.problems` packs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError

from gateway.door_key import Doorkeeper, with_key
from gateway.errors import BadEnvelope, GatewayDown, GatewayFault, PeerRefused
from gateway.headers import FewHeaders
from gateway.proto import local_v1_pb2 as local
from gateway.proto import transfer_v1_pb2 as transfer
from gateway.proto.local_v1_pb2_grpc import (
    AdminServicer,
    AdminStub,
    ExecutorStub,
    add_AdminServicer_to_server,
)
from gateway.proto.transfer_v1_pb2_grpc import TransferStub
from gateway.streams import Parsed, count_parts, pack, unpacker
from runtime.disk.faults import fault_of
from runtime.errors import PlatformError, PortInUse, public_sentence
from runtime.log import get_logger
from runtime.problems import carried, packed, status_name

__all__ = [
    "AdminServicer",
    "AdminStub",
    "ExecutorMethods",
    "ExecutorStub",
    "TransferMethods",
    "TransferStub",
    "add_AdminServicer_to_server",
    "add_executor",
    "add_transfer",
    "admin_channel",
    "answering",
    "bound_unix_server",
    "chunked",
    "executor_stub",
    "local",
    "local_channel",
    "parsed",
    "peer_certificate",
    "rpc_error",
    "server",
    "transfer",
    "transfer_stub",
    "unpacked",
]

CHUNK_BYTES = 1 << 20
MAX_MESSAGE_BYTES = 8 << 20
TOKEN_KEY = "archipelago-token"  # noqa: S105 - the name of the metadata entry

RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # how long one attempt to connect may take
]
LIMITS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]
_TRANSFER = "archipelago.transfer.v1.Transfer"
_EXECUTOR = "archipelago.local.v1.Executor"
M = TypeVar("M")
_log = get_logger("gateway")


@contextmanager
def answering(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what a handler raises into a status with details; a defect stays in our log and says only that much."""
    try:
        yield
    except PlatformError as error:
        context.abort(grpc.StatusCode[status_name(error)], packed(error))
    except Exception as error:  # noqa: BLE001 - the translator between our errors and the wire
        _log.exception("A gateway call failed")
        fault = fault_of(error)
        if fault is not None:  # the caller may be another party: what was refused stays in our log
            told = type(fault)(public_sentence(fault.code), hint="The log of the gateway holds the details.")
            context.abort(grpc.StatusCode[status_name(told)], packed(told))
        context.abort(grpc.StatusCode.INTERNAL, packed(GatewayFault("The gateway failed; its own log says why.")))


def rpc_error(error: grpc.RpcError, otherwise: PlatformError) -> PlatformError:
    """The error that the far handler raised, or `otherwise` if the call itself failed."""
    return carried(error.details()) or otherwise


def server(
    threads: int, options: Sequence[tuple[str, Any]] = (), keepers: Sequence[grpc.ServerInterceptor] = ()
) -> grpc.Server:
    """A server with a thread for each call it answers; threads are started as they are needed."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="gateway-call")
    return grpc.server(
        pool, options=[("grpc.so_reuseport", 0), *LIMITS, *options], interceptors=(FewHeaders(), *keepers)
    )


def bound_unix_server(path: Path, threads: int, *, for_executors: bool = False) -> grpc.Server:
    """A server on a Unix socket of the party's own. Raises PortInUse.

    Only the party's services get an answer, by the key of its doors; or executors as well, each by its token, whoever
    they run as: the folder of sockets is the party's alone.
    """
    path.unlink(missing_ok=True)
    made = server(threads, keepers=() if for_executors else (Doorkeeper(path.parent),))
    try:
        made.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise PortInUse(f"The socket {path} cannot be opened: {error}.") from None
    path.chmod(0o666 if for_executors else 0o600)
    return made


def local_channel(socket: Path | str) -> grpc.Channel:
    """The way to our own gateway. Nothing is connected yet."""
    return grpc.insecure_channel(f"unix:{socket}", options=[*LIMITS, *RECONNECT, ("grpc.use_local_subchannel_pool", 1)])


def admin_channel(socket: Path | str) -> grpc.Channel:
    """The way to its door for the party's own services."""
    return with_key(local_channel(socket), Path(socket).parent)


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


def add_transfer(door: TransferMethods, to: grpc.Server) -> None:
    """Serve Transfer. Nothing is read or parsed before the door has looked who calls."""
    _add(
        to,
        _TRANSFER,
        {
            "Hello": _answered_once(door.Hello, transfer.Greeting.SerializeToString),
            "Put": _answered_once(door.Put, transfer.Receipts.SerializeToString),
            "Offer": _answered_once(door.Offer, transfer.Standing.SerializeToString),
            "Deliver": _answered_once(door.Deliver, transfer.Receipt.SerializeToString),
            "Call": _answered_once(door.Call, transfer.Envelope.SerializeToString),
        },
    )


def add_executor(door: ExecutorMethods, to: grpc.Server) -> None:
    """Serve Executor. Nothing is read or parsed before the door has looked who calls."""
    _add(
        to,
        _EXECUTOR,
        {
            "Send": _answered_once(door.Send, local.Done.SerializeToString),
            "SendLarge": _answered_once(door.SendLarge, local.Done.SerializeToString),
            "Take": grpc.stream_stream_rpc_method_handler(door.Take, None, pack),
            "Release": _answered_once(door.Release, local.Done.SerializeToString),
        },
    )


def _answered_once(method: Callable[..., Any], serialize: Callable[[Any], bytes]) -> grpc.RpcMethodHandler:
    # On the wire one request is a stream of one; served as a stream, the call reaches the door before its message.
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
