"""The one module that touches generated code: messages, services, channel settings, and errors on the wire.

Errors travel as a JSON object in the status details: code, message, hint and the code of the root kind. A class with
that code here is raised again; of an unknown code the root kind is raised, with that code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from gateway.errors import GatewayDown, GatewayFault, PeerRefused
from gateway.proto import local_v1_pb2 as local
from gateway.proto import transfer_v1_pb2 as transfer
from gateway.proto.local_v1_pb2_grpc import (
    AdminServicer,
    AdminStub,
    ExecutorServicer,
    ExecutorStub,
    add_AdminServicer_to_server,
    add_ExecutorServicer_to_server,
)
from gateway.proto.transfer_v1_pb2_grpc import TransferServicer, TransferStub, add_TransferServicer_to_server
from gateway.streams import pack, unpacker
from party.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, PortInUse, Unavailable, all_codes
from party.log import get_logger

__all__ = [
    "AdminServicer",
    "AdminStub",
    "ExecutorServicer",
    "ExecutorStub",
    "Problem",
    "TransferServicer",
    "TransferStub",
    "add_AdminServicer_to_server",
    "add_executor",
    "add_transfer",
    "answering",
    "bound_unix_server",
    "chunked",
    "executor_stub",
    "local",
    "local_channel",
    "peer_certificate",
    "problem_of",
    "raised",
    "rpc_error",
    "server",
    "transfer",
    "transfer_stub",
]

CHUNK_BYTES = 1 << 20
MAX_MESSAGE_BYTES = 8 << 20
MAX_TEXT_CHARS = 2000  # of an error, as encoded for the status details; gRPC's limit for all metadata is 8 KiB
MAX_HINT_CHARS = 1000
MAX_CODE_CHARS = 200
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
_STATUS = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_TRANSFER = "archipelago.transfer.v1.Transfer"
_EXECUTOR = "archipelago.local.v1.Executor"
_KINDS: dict[str, type[PlatformError]] = {kind.code: kind for kind in _STATUS}
_log = get_logger("gateway")


@dataclass(frozen=True)
class Problem:
    """A PlatformError on its way: its code, text and hint, and the code of the root kind."""

    code: str
    message: str
    hint: str
    kind: str


def problem_of(error: PlatformError) -> Problem:
    """The error as it travels."""
    kind = next((kind.code for kind in _STATUS if isinstance(error, kind)), PlatformError.code)
    code, hint = _cut(error.code, MAX_CODE_CHARS), _cut(error.hint, MAX_HINT_CHARS)
    return Problem(code, _cut(error.message, MAX_TEXT_CHARS), hint, kind)


def raised(problem: Problem) -> PlatformError:
    """The error that travelled, ready to be raised here."""
    known = all_codes().get(problem.code)
    kind = known or _KINDS.get(problem.kind, PlatformError)
    error = kind.__new__(kind)
    PlatformError.__init__(error, problem.message, hint=problem.hint)
    if known is None:
        vars(error)["code"] = problem.code
    return error


@contextmanager
def answering(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what a handler raises into a status with details; a defect stays in our log and says only that much."""
    try:
        yield
    except PlatformError as error:
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)
        context.abort(status, json.dumps(vars(problem_of(error))))
    except grpc.RpcError:
        raise  # the caller is gone
    except Exception:  # noqa: BLE001 - the translator between our errors and the wire
        _log.exception("A gateway call failed")
        fault = GatewayFault("The gateway failed; its own log says why.")
        context.abort(grpc.StatusCode.INTERNAL, json.dumps(vars(problem_of(fault))))


def rpc_error(error: grpc.RpcError, otherwise: PlatformError) -> PlatformError:
    """The error that the far handler raised, or `otherwise` if the call itself failed."""
    try:
        fields = json.loads(error.details() or "")
        problem = Problem(**{name: str(fields[name]) for name in ("code", "message", "hint", "kind")})
    except (ValueError, TypeError, KeyError):
        return otherwise
    return raised(problem)


def server(threads: int, options: Sequence[tuple[str, Any]] = ()) -> grpc.Server:
    """A server with a thread for each call it answers; threads are started as they are needed."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="gateway-call")
    return grpc.server(pool, options=[("grpc.so_reuseport", 0), *LIMITS, *options])


def bound_unix_server(path: Path, threads: int) -> grpc.Server:
    """A server on a Unix socket that only this user may open. Raises PortInUse."""
    path.unlink(missing_ok=True)
    made = server(threads)
    try:
        made.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise PortInUse(f"The socket {path} cannot be opened: {error}.") from None
    path.chmod(0o600)
    return made


def local_channel(socket: Path | str) -> grpc.Channel:
    """The way to our own gateway. Nothing is connected yet."""
    return grpc.insecure_channel(f"unix:{socket}", options=[*LIMITS, *RECONNECT, ("grpc.use_local_subchannel_pool", 1)])


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


def add_transfer(door: TransferServicer, to: grpc.Server) -> None:
    """Serve Transfer, bodies without protobuf's copies."""
    add_TransferServicer_to_server(door, to)
    deliver = grpc.stream_unary_rpc_method_handler(
        door.Deliver, unpacker(transfer.Chunk), transfer.Receipt.SerializeToString
    )
    to.add_registered_method_handlers(_TRANSFER, {"Deliver": deliver})


def add_executor(door: ExecutorServicer, to: grpc.Server) -> None:
    """Serve Executor, bodies without protobuf's copies."""
    add_ExecutorServicer_to_server(door, to)
    send = grpc.stream_unary_rpc_method_handler(door.SendLarge, unpacker(local.Chunk), local.Done.SerializeToString)
    take = grpc.unary_stream_rpc_method_handler(door.Take, local.Wish.FromString, pack)
    to.add_registered_method_handlers(_EXECUTOR, {"SendLarge": send, "Take": take})


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


def _cut(text: str, limit: int) -> str:
    """As much of the text as takes `limit` characters in the status details."""
    if len(text) * 12 <= limit:  # no character takes more: two escapes for one outside the first plane
        return text
    taken = 0
    for at, char in enumerate(text):
        taken += 3 if char == "%" else len(json.dumps(char)) - 2  # gRPC itself escapes "%" as %25
        if taken > limit:
            return text[:at]
    return text
