"""How the services of one party call each other: over Unix sockets, and so that errors cross as themselves.

A PlatformError travels in the status details, as `runtime.problems` packs it; a defect stays in our log, and only that
it was one is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from runtime.disk.faults import fault_of
from runtime.error_kinds import grpc_status
from runtime.errors import (
    ChannelClosed,
    DiskFull,
    FileFault,
    PlatformError,
    PortInUse,
    ServiceFault,
    Unavailable,
    public_sentence,
)
from runtime.inner.door_key import Doorkeeper, shown_key
from runtime.inner.inner_channel import InnerChannel
from runtime.limits.headers import FewHeaders
from runtime.log import get_logger
from runtime.problems import carried, packed, problem_of, raised

MAX_MESSAGE_BYTES = 8 << 20
LIMITS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # how long one attempt to connect may take
)
METRICS_S = 5.0
LOOK_S = 1.5  # for what a service answers from memory: a person may wait for it, and it may be stopped
_METRICS = "archipelago.runtime.v1.Metrics"
_log = get_logger("rpc")


@contextmanager
def answering(context: grpc.ServicerContext, *, quoting: bool = True) -> Iterator[None]:
    """Turn what a handler raises into a status.

    Args:
        context: The call's.
        quoting: Whether the caller may read which of our files a disk refused.
    """
    try:
        yield
    except PlatformError as error:
        _refuse(context, error if quoting else unquoted(error))
    except Exception as error:  # noqa: BLE001 - the translator between our errors and the wire
        _log.exception("A call failed")
        fault = fault_of(error)
        if fault is None:
            context.abort(grpc.StatusCode.INTERNAL, packed(ServiceFault("The service failed; its own log says why.")))
        else:
            _refuse(context, fault if quoting else unquoted(fault))


def unquoted(error: PlatformError) -> PlatformError:
    """The error as somebody may read it who may not read which of our files a disk refused."""
    if not isinstance(error, DiskFull | FileFault):
        return error
    told = problem_of(error)
    return raised(replace(told, message=public_sentence(error.code), hint="The log there holds the details."))


def rpc_error(error: grpc.RpcError, otherwise: PlatformError) -> PlatformError:
    """The error that the far handler raised, or `otherwise` if the call itself failed."""
    return carried(error.details()) or otherwise


@contextmanager
def asking(who: str, unreachable: type[Unavailable]) -> Iterator[None]:
    """Raise the errors of a service that we call; `unreachable` where it does not answer, or failed while it did."""
    try:
        yield
    except grpc.RpcError as error:
        silent = unreachable(f"{who} does not answer.", hint="See that it is running: flow party status.")
        named = rpc_error(error, silent)
        if isinstance(named, ServiceFault):
            named = unreachable(f"{who} failed while it answered.", hint=f"Look into its log: {who}.")
        raise named from None
    except ChannelClosed as closed:
        raise unreachable(f"{who}: {closed.message}", hint=closed.hint) from None


def server(
    name: str, threads: int, options: Sequence[tuple[str, Any]] = (), keepers: Sequence[grpc.ServerInterceptor] = ()
) -> grpc.Server:
    """A server with a thread for each call it answers; threads are started as they are needed."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"{name}-call")
    return grpc.server(
        pool, options=[("grpc.so_reuseport", 0), *LIMITS, *options], interceptors=(FewHeaders(), *keepers)
    )


def unix_server(path: Path, threads: int, *, keyed: bool = True) -> grpc.Server:
    """A server on a Unix socket of the party's own, not started yet. Raises PortInUse.

    Only the party's services get an answer, by the key of its doors; where it is not `keyed`, everybody who comes into
    the folder of sockets, which is the party's alone.
    """
    try:
        made = server(path.stem, threads, keepers=(Doorkeeper(path.parent),) if keyed else ())
        path.unlink(missing_ok=True)
        made.add_insecure_port(f"unix:{path}")
    except (RuntimeError, OSError) as error:
        raise PortInUse(f"The socket {path} cannot be opened: {error}.") from None
    path.chmod(0o600 if keyed else 0o666)
    return made


def unix_channel(address: str | Path, *, keyed: bool = True) -> InnerChannel:
    """The way to a server at a path, or `unix:PATH`: connects when first used, and again whenever it has to.

    A call after `close` raises ChannelClosed.
    """
    path = Path(str(address).removeprefix("unix:"))
    options = [*LIMITS, *RECONNECT, ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(f"unix:{path}", options=options)
    return InnerChannel(channel, lambda: shown_key(path.parent) if keyed else ())


def serve_metrics(to: grpc.Server, read: Callable[[], bytes]) -> None:
    """Answer `read_metrics` with what `read` gives."""

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        with answering(context):
            return read()

    to.add_registered_method_handlers(_METRICS, {"Read": grpc.unary_unary_rpc_method_handler(answer)})


def read_metrics(channel: grpc.Channel) -> bytes:
    """The metrics of a service, as Prometheus reads them. Raises grpc.RpcError."""
    read = channel.unary_unary(f"/{_METRICS}/Read", _registered_method=True)
    return bytes(read(b"", timeout=METRICS_S))


def _refuse(context: grpc.ServicerContext, error: PlatformError) -> None:
    context.abort(grpc.StatusCode[grpc_status(error)], packed(error))
