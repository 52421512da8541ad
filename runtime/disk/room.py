"""How much of each disk stays free, so that what ends or deletes something finds room; who writes more waits for that.

One rule for those who write and those who tell people: a disk with less is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from runtime.disk.faults import disk_of, disk_status, is_full, refuse_unwritable
from runtime.errors import DiskFull, PlatformError
from runtime.limits.pauses import doubled_s
from runtime.text import size

LEAST_FREE_BYTES = 64 << 20  # of a disk; of a small one, a twentieth
_SHARE = 20
_SHORT_TIMES = 4
FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 1.0
T = TypeVar("T")


def least_free(total_bytes: int) -> int:
    """The bytes that stay free of a disk of this size."""
    return min(LEAST_FREE_BYTES, total_bytes // _SHARE)


def lacks_room(path: Path, more_bytes: int = 0) -> bool:
    """Whether the disk of `path`, which need not exist yet, has less free than stays free, once it holds so much more.

    A disk that says nothing about itself has room.
    """
    spare = _spare(path)
    return spare is not None and spare < more_bytes


def is_short(path: Path) -> bool:
    """Whether the disk of `path` comes near to what stays free: then what is only kept in case goes."""
    spare = _spare(path, _SHORT_TIMES)
    return spare is not None and spare < 0


def room_left(path: Path) -> int | None:
    """Bytes that what may wait may still write to the disk of `path`; None where the disk says nothing about itself."""
    spare = _spare(path)
    return None if spare is None else max(0, spare)


def require_room(path: Path, more_bytes: int = 0) -> None:
    """Raise DiskFull where the disk of `path` lacks room for what may wait."""
    if lacks_room(path, more_bytes):
        needed = f": {size(more_bytes)} needed" if more_bytes else ""
        raise DiskFull(
            f"No room left on {disk_of(path)} for {path}{needed}.", hint="Make room there; nothing needs a restart."
        )


def is_full_disk(folder: Path) -> bool:
    """Whether the disk of a folder is full, or a quota of it spent; False where the folder is not there."""
    if not folder.exists():
        return False
    try:
        refuse_unwritable(folder)
    except PlatformError as error:
        return is_full(error)
    return lacks_room(folder)


def each_disk(folders: Iterable[Path]) -> Iterator[Path]:
    """Those of the folders that are there, one of each disk."""
    seen = set()
    for folder in folders:
        try:
            disk = folder.stat().st_dev
        except FileNotFoundError:
            continue
        if disk not in seen:
            seen.add(disk)
            yield folder


def once_there_is_room(write: Callable[[], T], told: Callable[[Exception], None] = lambda _: None) -> T:
    """What `write` returns: it is called again, after a pause, for as long as a disk has no room for it.

    Args:
        write: May be called any number of times.
        told: Called with the error, once, before the first pause.
    """
    tries = 0
    while True:
        try:
            return write()
        except (OSError, PlatformError) as error:
            if not is_full(error):
                raise
            if not tries:
                told(error)
        time.sleep(doubled_s(FIRST_PAUSE_S, tries, LAST_PAUSE_S))
        tries += 1


def _spare(path: Path, times: int = 1) -> int | None:
    """Bytes free beyond so many times what stays free, below 0 where they lack; None where the disk says nothing.

    Of a disk that takes no more files nothing is free.
    """
    status = disk_status(path)
    if status is None:
        return None
    takes_files = status.f_favail or not status.f_files
    free = status.f_bavail * status.f_frsize if takes_files else 0
    return free - times * least_free(status.f_blocks * status.f_frsize)
