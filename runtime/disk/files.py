"""Files that are whole or absent, and files that only their owner may read.

Every write goes to a new file beside the target, is synced, and takes the target's place in one step. Where the file
system refuses, all of them raise DiskFull or FileFault and name the path.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path

from runtime.disk.faults import refusals
from runtime.errors import FileExposed

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
OTHERS = 0o077


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write `data` to `path` so that a reader sees the old content or the new, never a part."""
    with refusals(path), ExitStack() as undo:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        undo.callback(Path(name).unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
        undo.pop_all()
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames inside the folder survive a power cut."""
    with refusals(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_private(path: Path) -> bytes:
    """The content of a secret file. Raises FileExposed if others may read it, FileNotFoundError if it is absent."""
    with path.open("rb") as file:
        refuse_exposed(path, os.fstat(file.fileno()))
        return file.read()


def keep_private(path: Path) -> None:
    """Make sure that the file is there and only its owner may open it, before a library opens it.

    SQLite gives the files beside a database the database's own mode.
    """
    with refusals(path):
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            os.fchmod(handle, PRIVATE_FILE)
        finally:
            os.close(handle)


def refuse_exposed(path: Path, status: os.stat_result) -> None:
    """Raise FileExposed, naming the path, if group or others have any right on it."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        wanted = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise FileExposed(
            f"{path} is open to other users of this machine (mode {mode:o}).",
            hint=f"Run: chmod {wanted} '{path}', and replace the secret if others may have read it.",
        )


def make_folder(path: Path) -> None:
    """The folder and those above it, each for its owner only, where they are not there."""
    with refusals(path):
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def private_folder(path: Path) -> Path:
    """The folder, made with mode 0700 if absent. Raises FileExposed if it is somebody else's, a link, or open."""
    make_folder(path)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise FileExposed(f"{path} is not a folder that belongs to this user.", hint="Remove it or name another one.")
    refuse_exposed(path, status)
    return path
