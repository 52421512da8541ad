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
from pyarrow import fs, ipc

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
_BATCH_ROWS = 65_536


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


@dataclass(frozen=True)
class RawFile:
    """Where the bytes come from; it can be opened any number of times."""

    name: str
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
            self._cleanup = undo.pop_all()
        return reading

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()


class ParquetReading:
    """A Parquet file, row group by row group."""

    def __init__(self, raw: RawFile) -> None:
        from pyarrow import parquet

        self._raw = raw
        with reading_errors(raw):
            self._file = parquet.ParquetFile(raw.open(), pre_buffer=False)
        self._rows = self._file.metadata.num_rows
        self._done = 0
        refuse_empty(raw, self._rows)

    def schema(self) -> pa.Schema:
        """The file's schema."""
        return self._file.schema_arrow

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches of a bounded number of rows."""
        with reading_errors(self._raw):
            for batch in self._file.iter_batches(_BATCH_ROWS, use_threads=False):
                self._done += batch.num_rows
                yield batch

    def is_complete(self) -> bool:
        """Always: a Parquet file knows its types."""
        return True

    def position(self) -> tuple[int, int]:
        """Bytes, in proportion to rows."""
        return self._raw.size * self._done // self._rows, self._raw.size


class ArrowReading:
    """An Arrow IPC file or stream, batch by batch."""

    def __init__(self, raw: RawFile) -> None:
        self._raw = raw
        self._done = 0
        with reading_errors(raw):
            self._reader = self._open()
            self._schema = self._reader.schema

    def schema(self) -> pa.Schema:
        """The file's schema."""
        return self._schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The file's own batches."""
        rows = 0
        with reading_errors(self._raw):
            for batch in self._each():
                rows += batch.num_rows
                self._done += batch.nbytes
                yield batch
        refuse_empty(self._raw, rows)

    def is_complete(self) -> bool:
        """Always: an Arrow file knows its types."""
        return True

    def position(self) -> tuple[int, int]:
        """Bytes of the batches so far; a file may hold a little more."""
        return min(self._done, self._raw.size), self._raw.size

    def _open(self) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
        file = self._raw.open()
        magic = file.read(len(_ARROW_MAGIC))
        file.seek(0)
        return ipc.open_file(file) if magic == _ARROW_MAGIC else ipc.open_stream(file)

    def _each(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._reader, ipc.RecordBatchFileReader):
            for i in range(self._reader.num_record_batches):
                yield self._reader.get_batch(i)
        else:
            yield from self._reader


class reading_errors:  # noqa: N801 - used like a function
    """A context manager: what Arrow says of a broken file, in our words."""

    def __init__(self, raw: RawFile) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | EOFError):
            problem = str(error).splitlines()[0]
            raise BadSource(f"{self._raw.name} cannot be read: {problem}. Nothing was stored.") from error


def refuse_empty(raw: RawFile, rows: int) -> None:
    """Raise EmptySource if there are no rows."""
    if not rows:
        raise EmptySource(f"{raw.name} has no rows. Nothing was stored.")


def _reading(raw: RawFile, kind: str, options: SourceOptions) -> Reading:
    if raw.size == 0:
        raise EmptySource(f"{raw.name} is empty. Nothing was stored.")
    if kind == "parquet":
        return ParquetReading(raw)
    if kind == "arrow":
        return ArrowReading(raw)
    from storage.csv_source import CsvReading

    return CsvReading(raw, options)


def _raw(source: str | Path | BinaryIO, undo: ExitStack) -> RawFile:
    if not isinstance(source, str | Path):
        return _spooled(source, undo)
    text = str(source)
    compression = COMPRESSIONS.get(Path(text).suffix.lower())
    if isinstance(source, str) and len(urlsplit(text).scheme) > 1:
        with reading_errors(RawFile(text, 0, lambda: None)):
            filesystem, path = fs.FileSystem.from_uri(text)
    else:
        filesystem, path = fs.LocalFileSystem(), str(Path(text).resolve())
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.File:
        what = "is a folder" if info.type == fs.FileType.Directory else "does not exist"
        raise SourceNotFound(f"The file {text} {what}.", hint="Name one file.")
    return RawFile(Path(path).name, info.size, lambda: filesystem.open_input_file(path), compression)


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
    return RawFile(shown, copy.tell(), lambda: pa.OSFile(copy.name), compression)


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
