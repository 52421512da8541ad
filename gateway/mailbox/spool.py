"""Bodies in files: written and hashed as they come, kept under their envelope's name, read by memory map."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from runtime.disk.files import keep_private
from runtime.disk.room import require_room

_READ_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}")


class FileSpool:
    """One body that is being written. What an earlier try left in the file is read once, for its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = sha256()
        keep_private(path)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        if self._size:
            self._read_back()

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises DiskFull where the disk has no room for what may wait."""
        view = memoryview(data)
        require_room(self.path, view.nbytes)
        while view:
            view = view[self._file.write(view) :]
        self._digest.update(data)
        self._size += len(data)

    def hexdigest(self) -> str:
        """SHA-256 of what was written."""
        return self._digest.hexdigest()

    def part_digest(self, offset: int, size: int) -> str:
        """SHA-256 of a part of the file, read piece by piece so that it never is in memory as a whole."""
        digest = sha256()
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            while size > 0 and (block := file.read(min(size, _READ_BYTES))):
                digest.update(block)
                size -= len(block)
        return digest.hexdigest()

    def buffer(self) -> pa.Buffer:
        """The file, mapped."""
        if not self._size:
            return pa.py_buffer(b"")
        with pa.memory_map(str(self.path)) as mapped:
            return mapped.read_buffer()

    def keep(self) -> None:
        """Close the file and leave it for a later try."""
        self._file.close()

    def abandon(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def move(self, target: Path, *, sync: bool) -> None:
        """Give the finished file its final name; with `sync` it survives a power cut."""
        if sync:
            os.fdatasync(self._file.fileno())
        self._file.close()
        self.path.rename(target)

    def _read_back(self) -> None:
        with self.path.open("rb", buffering=0) as earlier:
            while block := earlier.read(_READ_BYTES):
                self._digest.update(block)


class SpoolFolder:
    """The folder of bodies: `partial` while they come in, `bodies` once a committed row names them."""

    def __init__(self, root: Path) -> None:
        self._partial = root / "partial"
        self.bodies = root / "bodies"
        for folder in (root, self._partial, self.bodies):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, name: str = "") -> FileSpool:
        """A new body, or the one that an earlier try left under the name."""
        return FileSpool(self._path(name or f"new.{uuid4().hex}"))

    def left(self, name: str) -> int:
        """How many bytes an earlier try left under the name."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def forget(self, name: str) -> None:
        """Delete what an earlier try left under the name."""
        self._path(name).unlink(missing_ok=True)

    def half_bodies(self) -> list[str]:
        """The names of what earlier tries left, the oldest first."""
        return [path.name for path in sorted(self._partial.iterdir(), key=lambda path: path.stat().st_mtime_ns)]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a file name")
        return self._partial / name

    def fresh_body(self) -> Path:
        """Where a finished body may go."""
        return self.bodies / uuid4().hex

    def sweep(self, named: set[str]) -> None:
        """Delete what a killed process left: bodies without a row, and half bodies nobody will go on with."""
        for path in self.bodies.iterdir():
            if path.name not in named:
                path.unlink()
        for path in self._partial.glob("new.*"):
            path.unlink()

    def forget_job(self, job: str) -> None:
        """Delete the half bodies of a job."""
        for path in self._partial.glob("*"):
            if path.name.startswith(f"{job}."):
                path.unlink(missing_ok=True)
