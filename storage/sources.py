"""Opens the files that tables are made of: CSV, Parquet and Arrow IPC, from a disk, a URI or an open file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from storage.disk import room_for
from storage.errors import BadSource, EmptySource, SourceNotFound, did_you_mean

Progress = Callable[[int, int], None]
FORMATS = ("csv", "parquet", "arrow")
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".arrows": "arrow",
}  # fmt: skip
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_ARROW_MAGIC = b"ARROW1"
_STREAM_MAGIC = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class SourceOptions:
    """How a CSV is to be read.

    Attributes:
        delimiter: The character between fields; by default from the header line.
        column_types: `bool | int | float | text | date | timestamp` for columns whose type should not be guessed.
        id_column: The column that may hold any text although most of it is numbers; `upload` sets it.
    """

    delimiter: str | None = None
    column_types: Mapping[str, str] = field(default_factory=dict)
    id_column: str | None = None


class Reading(Protocol):
    """A source on its way into a table."""

    def schema(self) -> pa.Schema:
        """The columns, as far as they are known now."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows from the first on; ends early where the schema proved too narrow."""

    def is_complete(self) -> bool:
        """Whether `batches` gave every row; if not, `schema` has changed and `batches` is to be read again."""

    def position(self) -> tuple[int, int]:
        """Bytes done and bytes in all."""

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
            reading = _reading(raw, _format_of(raw, self._format), self._options)
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


def _reading(raw: RawFile, kind: str, options: SourceOptions) -> Reading:
    if raw.size == 0:
        raise EmptySource(f"{raw.name} is empty. Nothing was stored.")
    if kind in ("parquet", "arrow"):
        from storage.reader import ProcessReading

        return ProcessReading(raw, kind)
    from storage.csv_source import CsvReading

    return CsvReading(raw, options)


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
    compression = COMPRESSIONS.get(Path(text).suffix.lower())
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
    return RawFile(name or Path(path).name, where, info.size, lambda: filesystem.open_input_file(path), compression)


def _spooled(file: BinaryIO, undo: ExitStack) -> RawFile:
    """An open file, copied to a temporary one so that it can be read twice and by Arrow's own code."""
    copy = undo.enter_context(tempfile.NamedTemporaryFile(prefix="archipelago-upload-"))  # noqa: SIM115
    with room_for("the copy of an upload", Path(copy.name)):
        copyfileobj(file, copy, 2**20)
        copy.flush()
    name = getattr(file, "name", None)
    shown = Path(name).name if isinstance(name, str) else "the uploaded data"
    with Path(copy.name).open("rb") as start:
        compression = "gzip" if start.read(2) == _GZIP_MAGIC else None
    return RawFile(shown, copy.name, copy.tell(), lambda: pa.OSFile(copy.name), compression)


def _format_of(raw: RawFile, named: str | None) -> str:
    if named is not None:
        if named not in FORMATS:
            raise BadSource(f"'{named}' is not a format of files.", hint=did_you_mean(named, FORMATS))
        return named
    suffixes = [suffix.lower() for suffix in Path(raw.name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    with raw.open() as file:
        start = file.read(len(_ARROW_MAGIC))
    if start.startswith(_PARQUET_MAGIC):
        return "parquet"
    return "arrow" if start == _ARROW_MAGIC or start.startswith(_STREAM_MAGIC) else "csv"
