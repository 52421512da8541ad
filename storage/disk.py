"""The one error that a full disk becomes where a store is written.

Whatever writes to a disk of this host does it inside `room_for`, so that a full disk or a spent quota is told as what
it is, whichever part of the store met it first. Anything else that a disk refuses is told by `runtime.disk.faults`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.disk.faults import disk_of, is_full
from runtime.disk.room import lacks_room, room_left
from runtime.errors import DiskFull
from storage.errors import StoreFull

__all__ = ["disk_of", "is_full", "refuse_without_room", "room_for", "room_left"]


@contextmanager
def room_for(what: str, path: Path, needed: int | None = None) -> Iterator[None]:
    """Raise StoreFull, naming `what` was to be written, if the disk under `path` has no room for it."""
    try:
        yield
    except StoreFull:
        raise
    except (OSError, DiskFull) as error:
        if not is_full(error):
            raise
        raise StoreFull(disk_of(path), what, needed, room_left(path)) from error


def refuse_without_room(what: str, path: Path, needed: int) -> None:
    """Raise StoreFull before the first byte is written where the disk of `path` has no room for `needed` bytes."""
    if lacks_room(path, needed):
        raise StoreFull(disk_of(path), what, needed, room_left(path))
