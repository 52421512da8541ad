"""A sealed journal: what must be drawn once and stay the same however often a process restarts.

A file of records that is only appended to, each synced before its value is returned, each sealed and bound to its
place. A record that a kill or a power cut tore was never returned to anyone, so it is cut off and made anew; any
other damage is an error, and so is another key.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from party.errors import CannotUnseal
from party.seal import box, unbox
from runtime.disk.files import sync_folder, write_whole
from runtime.disk.room import require_room
from runtime.errors import DiskFull
from storage.disk import room_for
from storage.errors import Damaged, SchemaVersionUnknown, WrongKey

SCHEMA = 1
_HEAD = struct.Struct("<6sHI")
_MAGIC = b"ARJRNL"
_LENGTH = struct.Struct("<I")
_NAME = struct.Struct("<H")
_BOUND = b"archipelago/journal/v1|"
_OPENING = b"opening"


class Journal:
    """Names and the bytes they were first given. Safe for threads and for two processes on one file."""

    def __init__(self, path: str | Path, key: bytes) -> None:
        self._path = Path(path)
        self._key = key
        self._lock = Lock()
        self._known: dict[str, bytes] = {}
        self._end = 0
        self._records = 0

    def __repr__(self) -> str:
        return f"<Journal {self._path}>"

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes `make` returned the first time that `name` was asked for, in whatever process that was.

        Raises:
            WrongKey: The journal was sealed under another key.
            Damaged: A record before the last is not what was written.
            StoreFull: The disk has no room for the record; nothing is left of it.
        """
        with self._lock, room_for("a journal", self._path):
            if name in self._known:
                return self._known[name]
            with self._up_to_date() as handle:
                if name not in self._known:
                    self._append(handle, name, make())
            return self._known[name]

    def keep(self) -> None:
        """Make sure that it is there, whatever became of its file: all that this process knows of it. Raises StoreFull.

        Before what relies on it is stored.
        """
        with self._lock, room_for("a journal", self._path), self._up_to_date():
            pass

    def exists(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    def set_aside(self) -> None:
        """Begin anew, for an attempt that relies on nothing in it."""
        with suppress(FileNotFoundError):
            self._path.rename(self._path.with_name(f"{self._path.name}.damaged"))

    def names(self) -> list[str]:
        """Every name in the journal, in the order of writing. Raises WrongKey, Damaged."""
        with self._lock:
            if self._path.exists():
                with self._up_to_date():
                    pass
            return list(self._known)

    @contextmanager
    def _up_to_date(self) -> Iterator[int]:
        """The file, read to its end and locked against other processes."""
        handle = self._open()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._read(handle)
            yield handle
        finally:
            os.close(handle)

    def _open(self) -> int:
        """The file, made with its opening record if it is not there yet: whole, or absent."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opening = box(self._key, _OPENING, _BOUND + _OPENING)
            beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.new")
            write_whole(beside, _HEAD.pack(_MAGIC, SCHEMA, len(opening)) + opening)
            try:
                os.link(beside, self._path)
            except FileExistsError:
                pass  # another process was faster; its file is as good
            finally:
                beside.unlink()
            sync_folder(self._path.parent)
        return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def _read(self, handle: int) -> None:
        """Take in what was appended since the last reading; cut off a torn last record."""
        size = os.fstat(handle).st_size
        if size < self._end:  # somebody has removed what this process had read
            self._write_again(handle)
            return
        if not self._end:
            self._end = self._check_opening(handle)
        data = os.pread(handle, size - self._end, self._end)
        at = 0
        while at < len(data):
            taken = self._take(data, at)
            if taken is None:
                os.ftruncate(handle, self._end)
                os.fsync(handle)
                return
            at += taken
            self._end += taken
            self._records += 1

    def _write_again(self, handle: int) -> None:
        end, self._end, self._records = self._end, self._check_opening(handle), 0
        os.ftruncate(handle, self._end)
        try:
            for name, value in list(self._known.items()):
                self._append(handle, name, value)
        except (OSError, DiskFull):
            self._end = end  # so that the next reading sees that something is missing
            raise

    def _check_opening(self, handle: int) -> int:
        head = os.pread(handle, _HEAD.size, 0)
        if len(head) < _HEAD.size or _HEAD.unpack(head)[0] != _MAGIC:
            raise Damaged(f"{self._path.name} does not begin as a journal.")
        _, schema, size = _HEAD.unpack(head)
        if schema != SCHEMA:
            raise SchemaVersionUnknown(f"{self._path.name} has schema {schema}; this program knows {SCHEMA}.")
        try:
            unbox(self._key, os.pread(handle, size, _HEAD.size), _BOUND + _OPENING)
        except CannotUnseal as error:
            raise WrongKey(f"{self._path.name} was sealed under another key.") from error
        return _HEAD.size + int(size)

    def _take(self, data: bytes, at: int) -> int | None:
        """Read the record at `at`; returns its size, or None if it is the last and torn."""
        if len(data) - at < _LENGTH.size:
            return None
        size: int = _LENGTH.unpack_from(data, at)[0]
        whole = _LENGTH.size + size
        if whole > len(data) - at:
            return None
        try:
            record = unbox(self._key, data[at + _LENGTH.size : at + whole], self._bound())
        except CannotUnseal as error:
            if at + whole == len(data):
                return None
            raise Damaged(f"Record {self._records + 1} of {self._path.name} was changed.") from error
        (length,) = _NAME.unpack_from(record)
        name = record[_NAME.size : _NAME.size + length].decode()
        self._known[name] = record[_NAME.size + length :]
        return whole

    def _append(self, handle: int, name: str, value: bytes) -> None:
        text = name.encode()
        boxed = box(self._key, _NAME.pack(len(text)) + text + value, self._bound())
        record = _LENGTH.pack(len(boxed)) + boxed
        require_room(self._path, len(record))
        try:
            _write_all(handle, record, self._end)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._end)  # what was not returned to anyone is not there
            raise
        self._known[name] = value
        self._end += len(record)
        self._records += 1

    def _bound(self) -> bytes:
        return _BOUND + str(self._records).encode()


def _write_all(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, at)
        view, at = view[written:], at + written
