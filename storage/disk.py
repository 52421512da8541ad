"""The disk under a store: how much room it has, and the one error that a full one becomes.

Whatever writes to a disk of this host does it inside `room_for`, so that a full disk or a spent quota is told as what
it is, whichever part of the store met it first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StoreFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def free_bytes(path: Path) -> int | None:
    """Bytes that may still be written below `path`, which need not exist yet; None where the system does not say."""
    try:
        status = os.statvfs(_nearest(path))
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


@contextmanager
def room_for(what: str, path: Path, needed: int | None = None) -> Iterator[None]:
    """Raise StoreFull, naming `what` was to be written, if the disk under `path` has no room for it."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StoreFull(disk_of(path), what, needed, free_bytes(path)) from error


def refuse_without_room(what: str, path: Path, needed: int) -> None:
    """Raise StoreFull before the first byte is written where `needed` bytes cannot fit below `path`."""
    free = free_bytes(path)
    if free is not None and free < needed:
        raise StoreFull(disk_of(path), what, needed, free)


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full or a quota spent."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_of(path: Path) -> str:
    """Where the disk that holds `path` is mounted."""
    here = _nearest(path).resolve()
    while here.parent != here and here.parent.stat().st_dev == here.stat().st_dev:
        here = here.parent
    return str(here)


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((part for part in (path, *path.parents) if part.exists()), Path("/"))
