"""Files that say a writer lives: the system lets go of a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class WriterLock:
    """Says that a writer lives; the system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._handle = -1

    def take(self) -> None:
        """Make the file and lock it."""
        if self._path is not None:
            self._handle = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """Remove the file, then the lock."""
        if self._path is not None and self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def is_free(path: Path | None) -> bool:
    """Whether no writer holds the lock."""
    if path is None:
        return True
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
