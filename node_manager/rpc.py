"""How errors cross a gRPC call inside one party, and how a Unix socket is served: the same for both managers.

A PlatformError goes over in the status details, as `runtime.problems` packs it. Anything else is a fault here: it is
logged and named to nobody, but for what the disk refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import grpc

from runtime.disk.faults import fault_of
from runtime.errors import PlatformError, Unavailable
from runtime.log import get_logger
from runtime.problems import carried, packed, status_name

MAX_MESSAGE_BYTES = 16 << 20
WORKERS = 32
_CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_log = get_logger("rpc")
_T = TypeVar("_T")


def unix_server(socket: Path) -> grpc.Server:
    """A server on a Unix socket for the party's own services; not started yet. Raises Unavailable if it cannot."""
    options = _CHANNEL[1:3]
    from gateway.client import Doorkeeper

    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"{socket.stem}-rpc")
    try:
        socket.unlink(missing_ok=True)
        server = grpc.server(pool, options=options, interceptors=(Doorkeeper(socket.parent),))
        server.add_insecure_port(f"unix:{socket}")
    except (RuntimeError, OSError) as problem:
        raise Unavailable(f"{socket}: the socket cannot be served ({problem}).") from problem
    return server


def unix_channel(address: str | Path) -> grpc.Channel:
    """A channel to `unix:PATH` or a path; connects when first used, and again whenever it has to."""
    from gateway.client import with_key

    text = str(address)
    target = text if text.startswith("unix:") else f"unix:{text}"
    return with_key(grpc.insecure_channel(target, options=_CHANNEL), Path(target.removeprefix("unix:")).parent)


def answering(call: Callable[[], _T], context: grpc.ServicerContext) -> _T:
    """The call's result; its errors become the RPC's."""
    try:
        return call()
    except PlatformError as error:
        context.abort(grpc.StatusCode[status_name(error)], packed(error))
    except Exception as error:  # noqa: BLE001  the RPC translator
        fault = fault_of(error)
        if fault is not None:
            context.abort(grpc.StatusCode[status_name(fault)], packed(fault))
        _log.exception("A call failed by a fault of ours")
        context.abort(grpc.StatusCode.INTERNAL, "The service failed; its log says why.")
    raise AssertionError("abort raises")


@contextmanager
def asking(who: str, unreachable: type[Unavailable]) -> Iterator[None]:
    """Turn RPC errors into platform errors; `unreachable` where nobody answered."""
    try:
        yield
    except grpc.RpcError as error:
        call = error if isinstance(error, grpc.Call) else None
        named = carried(call.details()) if call else None
        if named:
            raise named from None
        if call and call.code() is grpc.StatusCode.INTERNAL:
            raise unreachable(f"{who} failed while it answered.", hint=f"Look into its log: {who}.") from error
        raise unreachable(f"{who} does not answer.", hint="See that it is running: flow party status.") from error
