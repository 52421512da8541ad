"""Where things lie: a root on any `pyarrow.fs` file system, with the few operations that storing needs.

On a local disk a write is synced and appears whole or not at all, and `create_once` lets exactly one of several
writers win. Elsewhere a write is as atomic as the store's own put, and `create_once` looks before it writes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import IO, NamedTuple, cast
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs
from ulid import ULID

from runtime.disk.files import PRIVATE_FILE, sync_folder
from runtime.disk.room import require_room
from runtime.disk.trees import DEEPEST, remove_tree, take_back
from runtime.errors import DiskFull
from storage.disk import disk_of, is_full, room_left
from storage.errors import BadReference, Damaged, StoreFull, StoreUnavailable

COPY_BYTES = 4 << 20
BLOCK_BYTES = 512  # that `st_blocks` counts in


class Copied(NamedTuple):
    """A file that was copied: what arrived."""

    bytes: int
    sha256: str


class Stamp(NamedTuple):
    """By what a file on this host is known to be unchanged: every write gives it another, and no program may set it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Place:
    """A root folder on a file system. Every path is relative to it, with '/' between its parts."""

    def __init__(self, filesystem: fs.FileSystem, root: str) -> None:
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._local = Path(root) if isinstance(filesystem, fs.LocalFileSystem) else None

    def __repr__(self) -> str:
        return f"<Place {self._fs.type_name}:{self._root}>"

    @staticmethod
    def of(where: str | Path | Place) -> Place:
        """A place from a path, a `pyarrow.fs` URI or a place. Raises BadReference."""
        if isinstance(where, Place):
            return where
        if isinstance(where, Path) or len(urlsplit(where).scheme) < 2:  # a letter is a drive
            return Place(fs.LocalFileSystem(), str(Path(where).resolve()))
        try:
            return Place(*fs.FileSystem.from_uri(where))
        except (pa.ArrowException, OSError) as error:
            raise BadReference(f"'{where}' is not the address of a store: {error}.") from error

    def shown(self, text: str) -> str:
        """A text without the path of the root, which users of the store need not know."""
        return text.replace(self._root, "STORE") if len(self._root) > 1 else text

    def inside(self, folder: str) -> Place:
        """The place that a folder of this one is."""
        return Place(self._fs, self._full(folder))

    def local(self, path: str = "") -> Path | None:
        """The path on this machine's disk, or None where the place is elsewhere."""
        return self._local / inside(path) if self._local is not None else None

    def room_left(self) -> int | None:
        """Bytes that may still be written here; None where that is not known. One system call."""
        return room_left(self._local) if self._local is not None else None

    def make_folder(self, path: str) -> None:
        """Make the folder and those above it."""
        with _reaching(self, path):
            self._fs.create_dir(self._full(path), recursive=True)

    def write(self, path: str, data: bytes | pa.Buffer, *, synced: bool = True) -> None:
        """Write a file whole, over an older one, its folder made if need be."""
        self.write_pieces(path, [data], memoryview(data).nbytes, synced=synced)  # type: ignore[arg-type]

    def write_pieces(
        self, path: str, pieces: Iterable[bytes | pa.Buffer], size: int | None = None, *, synced: bool = True
    ) -> None:
        """Write a file whole from pieces that need not be in memory together; `size` is of all of them, if known.

        Without `synced`, a power cut may leave it empty or absent.

        Raises:
            StoreFull: The disk has no room for it; nothing is left of it.
        """
        self.make_folder(_parent(path))
        with _reaching(self, path, size):
            if self._local is not None:
                _write_local(self._local / inside(path), pieces, synced=synced)
                return
            with self._fs.open_output_stream(self._full(path)) as stream:
                for piece in pieces:
                    stream.write(piece)

    def create_once(self, path: str, data: bytes) -> bool:
        """Write a file that must not be there yet; False, and nothing written, if it is."""
        if self._local is None:
            if self.exists(path):
                return False
            self.write(path, data)
            return True
        target = self._local / inside(path)
        beside = f"{_parent(path)}/.new-{ULID()}"
        self.write(beside, data)
        with _reaching(self, path):
            try:
                os.link(self._local / beside, target)
            except FileExistsError:
                return False
            finally:
                (self._local / beside).unlink(missing_ok=True)
        sync_folder(target.parent)
        return True

    def read(self, path: str) -> bytes:
        """The content of a file. Raises FileNotFoundError, and Damaged for what is no file."""
        with _reaching(self, path):
            if self._local is not None:
                with os.fdopen(_regular(self._local / inside(path)), "rb") as file:
                    return file.read()
            with self._fs.open_input_stream(self._full(path), compression=None) as stream:
                return bytes(stream.read())

    def open(self, path: str) -> pa.NativeFile:
        """A file for random reading, mapped into memory where it is local. Raises as `read` does."""
        with _reaching(self, path):
            if self._local is not None:
                handle = _regular(self._local / inside(path))
                try:
                    return pa.memory_map(f"/proc/self/fd/{handle}")  # the file that was looked at, whatever its name is
                finally:
                    os.close(handle)
            return self._fs.open_input_file(self._full(path))

    def copy(self, folder: str, path: str, target: str) -> Copied:
        """Copy a file below a folder into a new one of our own, which no handle to the first can change.

        No link below the folder is followed. The digest is of the bytes that arrived. Raises as `read` does.
        """
        digest, size = sha256(), 0

        def pieces() -> Iterator[bytes]:
            nonlocal size
            with self._source(folder, path) as file:
                while piece := file.read(COPY_BYTES):
                    digest.update(piece)
                    size += len(piece)
                    yield piece

        self.write_pieces(target, pieces())
        return Copied(size, digest.hexdigest())

    def read_below(self, folder: str, path: str, most: int) -> bytes:
        """The content of a file that may be of any size; of links as `copy`. Raises Damaged beyond `most` bytes."""
        with self._source(folder, path) as file, _reaching(self, f"{folder}/{path}"):
            data = b"".join(iter(lambda: file.read(COPY_BYTES), b"")) if _size(file) <= most else None
        if data is None or len(data) > most:
            raise Damaged(f"{path.rpartition('/')[2]} has more than {most} bytes.")
        return data

    def stamp(self, path: str) -> Stamp | None:
        """What the file is known by, or None where it is not on this host."""
        if self._local is None:
            return None
        with _reaching(self, path):
            found = (self._local / inside(path)).stat()
        return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        with _reaching(self, path):
            return bool(self._fs.get_file_info(self._full(path)).type != fs.FileType.NotFound)

    def files(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted, hidden ones left out; none if the folder is not there."""
        return self._names(folder, fs.FileType.File)

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, sorted, hidden ones left out; none if the folder is not there."""
        return self._names(folder, fs.FileType.Directory)

    def move(self, source: str, target: str) -> None:
        """Move a file or folder to a name that is free."""
        self.make_folder(_parent(target))
        with _reaching(self, source):
            if self._local is not None:
                (self._local / inside(source)).rename(self._local / inside(target))
                sync_folder((self._local / target).parent)
                return
            self._move_elsewhere(source, target)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if it is not there."""
        if not path:
            raise BadReference("The store's root is not removed.")
        with _reaching(self, path):
            info = self._fs.get_file_info(self._full(path))
            if info.type == fs.FileType.Directory and self._local is not None:
                remove_tree(self._local / inside(path))
            elif info.type == fs.FileType.Directory:
                self._fs.delete_dir(self._full(path))
            elif info.type == fs.FileType.File:
                self._fs.delete_file(self._full(path))

    def enter(self, folder: str) -> None:
        """Take back folders that another process closed to us by their mode; they are ours, or we may do anything.

        Raises Damaged where folders lie in one another deeper than anything of ours makes them.
        """
        if self._local is None:
            return
        with _reaching(self, folder):
            taken = take_back(self._local / inside(folder))
        if not taken:
            raise Damaged(f"More than {DEEPEST} folders lie in one another, or their names are too long together.")

    def extent(self, folder: str) -> tuple[int, int]:
        """Bytes of all files below a folder, and bytes of disk that they take; no bytes where that is not known."""
        if self._local is None or not self.exists(folder):
            return 0, 0
        with _reaching(self, folder):
            found = [Path(at, name).lstat() for at, _, names in os.walk(self._local / folder) for name in names]
        return sum(each.st_size for each in found), sum(each.st_blocks * BLOCK_BYTES for each in found)

    def _source(self, folder: str, path: str) -> IO[bytes]:
        with _reaching(self, f"{folder}/{path}"):
            if self._local is None:
                stream = self._fs.open_input_file(self._full(f"{folder}/{path}"))
                return cast("IO[bytes]", stream)
            return os.fdopen(_below(self._local / inside(folder), inside(path)), "rb", buffering=0)

    def _move_elsewhere(self, source: str, target: str) -> None:
        """Object stores move single files only."""
        start = self._full(source)
        if self._fs.get_file_info(start).type == fs.FileType.File:
            self._fs.move(start, self._full(target))
            return
        for info in self._fs.get_file_info(fs.FileSelector(start, recursive=True, allow_not_found=True)):
            if info.type == fs.FileType.File:
                place = f"{target}{info.path[len(start) :]}"
                self.make_folder(_parent(place))
                self._fs.move(info.path, self._full(place))
        self.remove(source)

    def _names(self, folder: str, kind: fs.FileType) -> list[str]:
        with _reaching(self, folder):
            try:
                found = self._fs.get_file_info(fs.FileSelector(self._full(folder), allow_not_found=True))
            except FileNotFoundError:  # Arrow looks twice, and the folder came or went in between
                return self._names(folder, kind) if self.exists(folder) else []
        return sorted(info.base_name for info in found if info.type == kind and not info.base_name.startswith("."))

    def _full(self, path: str) -> str:
        return f"{self._root}/{inside(path)}" if path else self._root


def inside(path: str) -> str:
    """The path itself. Raises BadReference for one that could lead out of the place: names come from other parties."""
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise BadReference(f"'{path[:200]}' is not a path inside the store.")
    return path


def _size(file: IO[bytes]) -> int:
    return file.size() if isinstance(file, pa.NativeFile) else os.fstat(file.fileno()).st_size


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _below(folder: Path, path: str) -> int:
    """A handle to read a file below a folder by; a link on the way there, or at its end, is no file. Raises Damaged."""
    *folders, name = path.split("/")
    here = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return _regular(Path(name), os.O_NOFOLLOW, here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EACCES):
            raise _not_a_file(Path(path)) from error
        raise
    finally:
        os.close(here)


def _regular(path: Path, how: int = 0, folder: int | None = None) -> int:
    """A handle to read a file by; it never waits for whoever left something else there. Raises Damaged."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | how, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_a_file(path) from error
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise _not_a_file(path)


def _not_a_file(path: Path) -> Damaged:
    where = f"{path.parent.name}/{path.name}".lstrip("/")
    return Damaged(
        f"{where} is not a file that can be read: a folder, link, pipe, socket or device is no content.",
        hint="Remove it, and look at what wrote it.",
    )


def _write_local(target: Path, pieces: Iterable[bytes | pa.Buffer], *, synced: bool) -> None:
    """A file beside the target takes its place in one step."""
    beside = target.with_name(f".{target.name}.{ULID()}")
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            for piece in pieces:
                view = memoryview(piece).cast("B")
                require_room(beside, view.nbytes)
                _write_all(file, view)
            if synced:
                os.fsync(file.fileno())
        beside.rename(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if synced:
        sync_folder(target.parent)


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


@contextmanager
def _reaching(place: Place, path: str, size: int | None = None) -> Iterator[None]:
    """What the file system raises, in our words; a file that is not there stays a FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, StoreFull):
        raise
    except (OSError, DiskFull, pa.ArrowException) as error:
        here = place.local()
        if here is not None and is_full(error):
            raise StoreFull(disk_of(here), path, size, room_left(here)) from error
        raise StoreUnavailable(place.shown(f"{path or 'the root'} in the store cannot be reached: {error}.")) from error
