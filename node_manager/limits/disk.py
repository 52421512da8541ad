"""How much a working folder holds. What runs in it may change it meanwhile, and has no interest in our counting."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

LEAST_OF_A_FILE = 16 << 10  # so that empty files without number are an end as well
_BLOCK = 512


def folder_bytes(folder: Path, enough: int) -> int:
    """Bytes that a folder takes from its disk, links not followed; counting ends above `enough`."""
    found, left = 0, [str(folder)]
    while left and found <= enough:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                found += LEAST_OF_A_FILE
                with suppress(OSError):
                    found += max(0, entry.stat(follow_symlinks=False).st_blocks * _BLOCK - LEAST_OF_A_FILE)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                if found > enough:
                    break
    return found


def unnamed_bytes(pids: Iterable[int]) -> int:
    """Bytes of files that these processes hold open and that no folder names any more."""
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as handles:
            for handle in handles:
                with suppress(OSError):
                    status = handle.stat()
                    if S_ISREG(status.st_mode) and not status.st_nlink:
                        found[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK
    return sum(found.values())
