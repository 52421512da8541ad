"""Room that a database keeps for itself: a file beside it that is emptied where the disk has next to nothing left.

Who writes something new stops before that (`runtime.disk.room`), but others may fill the disk. What ends or deletes
something still finds room then. The file is filled again once there is room for it above what stays free anyway.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.disk.faults import disk_status
from runtime.disk.files import PRIVATE_FILE
from runtime.disk.room import least_free

RESERVE_BYTES = 8 << 20  # twice what SQLite writes ahead; on a small disk no more than stays free of it
_LOW_SHARE = 4


def holds_after(held: bool, free_bytes: int, total_bytes: int) -> bool:
    """Whether the reserve is to be full, by whether it is and by what the disk has."""
    size = size_on(total_bytes)
    if held:
        return free_bytes >= size // _LOW_SHARE
    return free_bytes >= least_free(total_bytes) + size


def size_on(total_bytes: int) -> int:
    """The bytes of the reserve on a disk of this size."""
    return min(RESERVE_BYTES, least_free(total_bytes))


class Reserve:
    """One such file. Not safe for several threads at once."""

    def __init__(self, beside: Path) -> None:
        self._path = beside.with_name(f"{beside.name}-reserve")
        self._held = self._path.exists() and self._path.stat().st_size > 0

    def adjust(self) -> None:
        """Fill or empty it by what the disk has now: before each write."""
        status = disk_status(self._path.parent)
        if status is None:
            return
        total = status.f_blocks * status.f_frsize
        held = holds_after(self._held, status.f_bavail * status.f_frsize, total)
        if held != self._held:
            with suppress(OSError):  # then at a later write
                self._set(size_on(total) if held else 0)
                self._held = held

    def _set(self, size: int) -> None:
        handle = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            os.ftruncate(handle, 0)
            if size:
                os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
