"""How the key of a party's inner doors travels: in the metadata of every call, checked before the call is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from gateway.errors import DoorClosed
from runtime.door_key import door_key, fits, shown_key
from runtime.problems import packed

KEY_NAME = "archipelago-door"


class Doorkeeper(grpc.ServerInterceptor):  # type: ignore[misc]
    """Lets in who shows the key of the sockets in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        door_key(folder)
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The call's handler, or one that refuses."""
        shown = next((str(v) for name, v in handler_call_details.invocation_metadata if name == KEY_NAME), "")
        return continuation(handler_call_details) if fits(shown, self._folder) else self._refusal


def with_key(channel: grpc.Channel, folder: Path) -> grpc.Channel:
    """The channel, showing the key of the sockets in a folder with every call."""
    return grpc.intercept_channel(channel, _Presenter(folder))


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Presenter(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _call(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), (KEY_NAME, shown_key(self._folder)))
        more = (details.credentials, details.wait_for_ready, details.compression)
        return continuation(_Details(details.method, details.timeout, metadata, *more), request)

    intercept_unary_unary = _call
    intercept_unary_stream = _call
    intercept_stream_unary = _call
    intercept_stream_stream = _call


def _refuse(_request: object, context: grpc.ServicerContext) -> object:
    context.abort(grpc.StatusCode.PERMISSION_DENIED, packed(DoorClosed()))
    raise AssertionError("abort raises")
