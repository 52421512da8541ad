"""Folders that somebody else filled: removed, or taken back, whatever their depth, their modes and their links are.

An executor may nest folders far beyond the longest path that the system takes. So nothing here goes by long paths or
calls itself, and no link is followed.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

DEEPEST = 64  # folders in one another that anything of ours makes are far fewer
LONGEST_PATH_BYTES = 3800  # of a folder: with a file's name it is one that the system takes
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; nothing happens if it is not there. Raises OSError.

    Folders are moved up, emptied and removed one by one: it never goes deeper than two, and needs two handles. What
    cannot be removed does not keep the rest.
    """
    try:
        top = _opened(str(folder), None)
    except FileNotFoundError:
        return
    kept: dict[str, OSError] = {}
    try:
        while left := [name for name in _emptied(top, top, kept) if name not in kept]:
            for name in left:
                try:
                    below = _opened(name, top)
                    try:
                        for deeper in _emptied(below, top, kept):
                            os.rename(deeper, f".{secrets.token_hex(16)}", src_dir_fd=below, dst_dir_fd=top)
                    finally:
                        os.close(below)
                    os.rmdir(name, dir_fd=top)
                except OSError as error:
                    kept[name] = error
    finally:
        os.close(top)
    if kept:
        raise next(iter(kept.values()))
    folder.rmdir()


def take_back(folder: Path) -> bool:
    """Make every folder in a tree one that we may read and write, whatever modes another process gave them.

    False, and nothing more is looked at, where folders lie in one another beyond DEEPEST, or a path is too long.
    """
    waiting = [(str(folder), 0)]
    while waiting:
        path, depth = waiting.pop()
        if depth > DEEPEST or len(os.fsencode(path)) > LONGEST_PATH_BYTES:
            return False
        handle = _opened(path, None)
        try:
            with os.scandir(handle) as found:
                names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        finally:
            os.close(handle)
        waiting += [(f"{path}/{name}", depth + 1) for name in names]
    return True


def _opened(name: str, parent: int | None) -> int:
    """A handle to read a folder by, its mode set so that its owner may do everything."""
    handle = os.open(name, os.O_PATH | _FOLDER, dir_fd=parent)
    try:
        if stat.S_IMODE(os.fstat(handle).st_mode) & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)  # noqa: PTH101 - the folder that was opened
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _emptied(folder: int, top: int, kept: dict[str, OSError]) -> list[str]:
    """Unlink what is no folder; the names of the folders. A file of `top` that stays is noted in `kept`."""
    folders = []
    with os.scandir(folder) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_folder in entries:
        if is_folder:
            folders.append(name)
            continue
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if folder != top:
                raise
            kept[name] = error
    return folders
