"""What a file system of this host refuses, in our words: the one place that makes a PlatformError of it.

Whatever writes a file of the party does it inside `refusals`, and whoever answers for code that may have met the disk
asks `fault_of`: so a full disk, one that may only be read, or too many open files are told as what they are, never as
a defect, and whoever waits for it goes on when it is mended.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import DiskFull, FileFault

ROOM_BYTES = 64 << 10  # what a service needs at the least to begin
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_HINTS = {
    errno.EROFS: "Mount it so that it can be written, or name another folder.",
    errno.EACCES: "Give the user that runs this the right to it.",
    errno.EPERM: "Give the user that runs this the right to it.",
    errno.EMFILE: "Raise the limit of open files of this process (ulimit -n).",
    errno.ENFILE: "Close what holds files open on this host, or raise its limit.",
    errno.EIO: "Look into the system's log: the disk itself may be failing.",
}
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
}
_PRIMARY = 0xFF  # the part of SQLite's code that names the kind


def fault_of(error: BaseException, path: Path | None = None) -> DiskFull | FileFault | None:
    """The error to tell instead, or None if the file system has no part in it.

    Args:
        error: An OSError, or what SQLite raised.
        path: What was being written, where the error does not say it.
    """
    if isinstance(error, DiskFull | FileFault):
        return error
    number = _number(error)
    named = getattr(error, "filename", None)
    named_path = path or (Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None)
    if number in FULL:
        return _full(named_path)
    if number not in _HINTS:
        return None
    what = str(named_path) if named_path else ("A database" if isinstance(error, sqlite3.Error) else "A file")
    reason = str(error) if isinstance(error, sqlite3.Error) else os.strerror(number)
    return FileFault(f"{what} cannot be read or written: {reason}.", hint=_HINTS[number])


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Raise DiskFull or FileFault, naming `path`, where the file system refuses; any other error is raised as it is."""
    try:
        yield
    except OSError as error:
        fault = fault_of(error, path)
        if fault is None:
            raise
        raise fault from error


def refuse_unwritable(folder: Path) -> None:
    """Raise DiskFull or FileFault unless a file of ROOM_BYTES can be written into the folder; it is removed again."""
    with refusals(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM_BYTES))
        file.flush()


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full or a quota spent."""
    return isinstance(error, DiskFull) or _number(error) in FULL


def disk_status(path: Path) -> os.statvfs_result | None:
    """What the system says of the disk that holds `path`, which need not exist yet; None where it says nothing."""
    try:
        return os.statvfs(_nearest(path))
    except OSError:
        return None


def free_bytes(path: Path) -> int | None:
    """Bytes free on the disk of `path`, which need not exist yet; None where the system does not say."""
    status = disk_status(path)
    return None if status is None else status.f_bavail * status.f_frsize


def total_bytes(path: Path) -> int | None:
    """Bytes of the disk that holds `path`, used ones too; None where the system does not say."""
    status = disk_status(path)
    return None if status is None else status.f_blocks * status.f_frsize


def disk_of(path: Path) -> str:
    """Where the disk that holds `path` is mounted."""
    here = _nearest(path).resolve()
    while here.parent != here and here.parent.stat().st_dev == here.stat().st_dev:
        here = here.parent
    return str(here)


def _full(named_path: Path | None) -> DiskFull:
    hint = "Make room there; nothing needs a restart."
    if named_path is None:
        return DiskFull("No room left on the disk of the party.", hint=hint)
    return DiskFull(f"No room left on {disk_of(named_path)} for {named_path}.", hint=hint)


def _number(error: BaseException) -> int:
    """The system's number of the error; 0 where it has none."""
    if isinstance(error, OSError):
        return error.errno or 0
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    return _SQLITE.get(code & _PRIMARY, 0) if isinstance(code, int) else 0


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((part for part in (path, *path.parents) if part.exists()), Path("/"))
