"""The key of a party's inner doors: whoever can read it is one of the party's own services, or its operator.

A Unix socket lets in everybody who runs as its owner, confined or not. So the doors through which a party is governed
ask for this key besides: it lies beside the sockets, and executors cannot open it.
"""

from __future__ import annotations

import os
import secrets
from hmac import compare_digest
from pathlib import Path

from runtime.disk.faults import refusals
from runtime.disk.files import PRIVATE_FILE

KEY_FILE = "doors.key"
_KEY_BYTES = 32


def door_key(folder: Path) -> str:
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


def shown_key(folder: Path) -> str:
    """The key to show at a door; empty where there is none yet, or where it is not ours to read."""
    try:
        return (folder / KEY_FILE).read_text()
    except OSError:
        return ""


def fits(shown: str, folder: Path) -> bool:
    """Whether this is the key."""
    return compare_digest(shown.encode(), door_key(folder).encode())
