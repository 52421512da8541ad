"""Opens the files that tables are made of: CSV, Parquet and Arrow IPC, from a disk, a URI or an open file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from storage.disk import room_for
from storage.errors import BadSource, EmptySource, SourceNotFound
from storage.sniffing import START_BYTES, compression_of, format_of, refuse_binary, unfolded_start
from storage.source_options import SourceOptions

Progress = Callable[[int, int], None]


class Reading(Protocol):
    """A source on its way into a table."""

    def schema(self) -> pa.Schema:
        """The columns, as far as they are known now."""

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """All rows from the first on; ends early where the schema proved too narrow."""

    def is_complete(self) -> bool:
        """Whether `batches` gave every row; if not, `schema` has changed and `batches` is to be read again."""

    def position(self) -> tuple[int, int]:
        """Bytes done and bytes in all."""

    def place(self, row: int) -> str:
        """Where a row stands, the first being 0, as people find it: a line of a text, else a row."""

    def remarks(self) -> list[str]:
        """What the user should be told of the file, once it is read."""

    def close(self) -> None:
        """Let go of every file and process."""


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


class open_source:  # noqa: N801 - used like a function
    """A context manager: the source opened in its format. Raises BadSource, SourceNotFound."""

    def __init__(self, source: str | Path | BinaryIO, format: str | None, options: SourceOptions) -> None:
        self._source = source
        self._format = format
        self._options = options
        self._cleanup = ExitStack()

    def __enter__(self) -> Reading:
        with ExitStack() as undo:
            undo.push(self._cleanup)
            raw = _raw(self._source, undo)
            reading = _reading(raw, self._format, self._options)
            self._cleanup.callback(reading.close)
            self._cleanup = undo.pop_all()
        return reading

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()


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
            problem = (str(error) or type(error).__name__).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error


def refuse_empty(raw: RawFile, rows: int) -> None:
    """Raise EmptySource if there are no rows."""
    if not rows:
        raise EmptySource(f"{raw.name} has no rows. Nothing was stored.")


def _reading(raw: RawFile, named: str | None, options: SourceOptions) -> Reading:
    if raw.size == 0:
        raise EmptySource(f"{raw.name} is empty. Nothing was stored.")
    with reading_errors(raw), raw.open() as file:
        start = bytes(file.read(START_BYTES))
        compression = compression_of(start)
    if compression:
        with reading_errors(raw), raw.open() as file:
            start = unfolded_start(file, compression)
    form = format_of(raw.name, start, named)
    if form == "csv":
        from storage.csv_source import CsvReading

        if options.encoding is None:
            refuse_binary(raw.name, start)
        return CsvReading(replace(raw, compression=compression), options)
    if compression:
        raise BadSource(f"{raw.name} holds {form} compressed as {compression}.", hint="Unpack it first.")
    if options.for_csv_only:
        raise BadSource(f"{raw.name} is {form}, for which nobody can give {options.for_csv_only[0]}.")
    from storage.reader import ProcessReading

    return ProcessReading(raw, form, options)


def _raw(source: str | Path | BinaryIO, undo: ExitStack) -> RawFile:
    if not isinstance(source, str | Path):
        return _spooled(source, undo)
    return raw_file(str(source) if isinstance(source, str) else str(source.resolve()))


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


def _spooled(file: BinaryIO, undo: ExitStack) -> RawFile:
    """An open file, copied to a temporary one so that it can be read twice and by Arrow's own code."""
    copy = undo.enter_context(tempfile.NamedTemporaryFile(prefix="archipelago-upload-"))  # noqa: SIM115
    with room_for("the copy of an upload", Path(copy.name)):
        copyfileobj(file, copy, 2**20)
        copy.flush()
    name = getattr(file, "name", None)
    shown = Path(name).name if isinstance(name, str) else "the uploaded data"
    return RawFile(shown, copy.name, copy.tell(), lambda: pa.OSFile(copy.name))
