"""The key of a party's inner doors: whoever can read it is one of the party's own services, or its operator.

A Unix socket lets in everybody who runs as its owner, confined or not. So the doors through which a party is governed
ask for this key besides: it lies beside the sockets, and executors cannot open it. It travels in the metadata of every
call and is checked before the call is read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from typing import Any

import grpc

from runtime.disk.faults import refusals
from runtime.disk.files import PRIVATE_FILE
from runtime.error_kinds import grpc_status
from runtime.errors import DoorClosed
from runtime.problems import packed

KEY_FILE = "doors.key"
KEY_NAME = "archipelago-door"
_KEY_BYTES = 32


class Doorkeeper(grpc.ServerInterceptor):  # type: ignore[misc]
    """Lets in who shows the key of the sockets in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _door_key(folder)
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The call's handler, or one that refuses."""
        shown = next((str(v) for name, v in handler_call_details.invocation_metadata if name == KEY_NAME), "")
        return continuation(handler_call_details) if _fits(shown, self._folder) else self._refusal


def shown_key(folder: Path) -> tuple[tuple[str, str], ...]:
    """The metadata that shows the key of the sockets in a folder; an empty key where there is none yet, or not ours."""
    try:
        key = (folder / KEY_FILE).read_text()
    except OSError:
        key = ""
    return ((KEY_NAME, key),)


def _refuse(_request: object, context: grpc.ServicerContext) -> None:
    closed = DoorClosed()
    context.abort(grpc.StatusCode[grpc_status(closed)], packed(closed))


def _door_key(folder: Path) -> str:
    """The key of the sockets in this folder, made by the first service that asks."""
    path = folder / KEY_FILE
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    with refusals(path):
        return _made(folder, path)


def _made(folder: Path, path: Path) -> str:
    beside = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
        os.link(beside, path)
    except FileExistsError:
        pass  # another service was faster
    finally:
        beside.unlink()
    return path.read_text()


def _fits(shown: str, folder: Path) -> bool:
    """Whether this is the key."""
    return compare_digest(shown.encode(), _door_key(folder).encode())
