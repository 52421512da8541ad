"""A file that a table is made of, before its format is known: where its bytes are, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from storage.errors import BadSource, EmptySource, SourceNotFound


@dataclass(frozen=True)
class RawFile:
    """Where the bytes come from; it can be opened any number of times.

    Attributes:
        name: What its user calls it.
        where: Its path or URI.
    """

    name: str
    where: str
    size: int
    open: Callable[[], pa.NativeFile]
    compression: str | None = None


class reading_errors:  # noqa: N801 - used like a function
    """A context manager: what Arrow says of a broken file, in our words."""

    def __init__(self, raw: RawFile) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MemoryError):
            return
        if isinstance(error, pa.ArrowException | OSError | EOFError | UnicodeDecodeError):
            problem = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error


def refuse_empty(raw: RawFile, rows: int) -> None:
    """Raise EmptySource if there are no rows."""
    if not rows:
        raise EmptySource(f"{raw.name} has no rows. Nothing was stored.")


def is_uri(where: str) -> bool:
    """Whether it is the address of a file elsewhere; a letter before the colon is a drive."""
    return len(urlsplit(where).scheme) > 1


def raw_file(where: str, name: str | None = None) -> RawFile:
    """A file by its path or URI, called `name` or as it is called there. Raises SourceNotFound, BadSource."""
    text = where
    if is_uri(where):
        with reading_errors(RawFile(text, where, 0, lambda: None)):
            filesystem, path = fs.FileSystem.from_uri(text)
    else:
        filesystem, path = fs.LocalFileSystem(), str(Path(text).resolve())
        where = path
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.File:
        what = "is a folder" if info.type == fs.FileType.Directory else "does not exist"
        raise SourceNotFound(f"The file {text} {what}.", hint="Name one file.")
    return RawFile(name or Path(path).name, where, info.size, lambda: filesystem.open_input_file(path))
