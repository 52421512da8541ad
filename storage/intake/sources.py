"""Opens the files that tables are made of: CSV, Parquet and Arrow IPC, from a disk, a URI or an open file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, Protocol

import pyarrow as pa

from runtime.errors import InvalidInput
from storage.disk import room_for
from storage.errors import BadSource, EmptySource
from storage.intake.csv_source import CsvReading
from storage.intake.raw_file import RawFile, raw_file, reading_errors
from storage.intake.reader import OWN_ERRORS, ProcessReading
from storage.intake.sniffing import START_BYTES, compression_of, format_of, refuse_binary, unfolded_start
from storage.intake.source_options import SourceOptions

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

    def row_name(self, row: int) -> str:
        """Where a row stands, the first being 0, as people find it: a line of a text, else a row."""

    def remarks(self) -> list[str]:
        """What the user should be told of the file, once it is read."""

    def close(self) -> None:
        """Let go of every file and process."""


@contextmanager
def open_source(source: str | Path | BinaryIO, format: str | None, options: SourceOptions) -> Iterator[Reading]:
    """The source opened in its format, until the block ends. Raises BadSource, SourceNotFound."""
    with ExitStack() as cleanup:
        raw = _raw(source, cleanup)
        cleanup.enter_context(_naming(raw.name))
        reading = _reading(raw, format, options)
        cleanup.callback(reading.close)
        yield reading


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Whatever is wrong with the file, or with what becomes of it, names it."""
    try:
        yield
    except InvalidInput as error:
        if error.code.startswith(OWN_ERRORS) and file not in error.message:
            error.message = f"{file}: {error.message}"
        raise


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
        if options.encoding is None:
            refuse_binary(raw.name, start)
        return CsvReading(replace(raw, compression=compression), options)
    if compression:
        raise BadSource(f"{raw.name} holds {form} compressed as {compression}.", hint="Unpack it first.")
    if options.for_csv_only:
        raise BadSource(f"{raw.name} is {form}, for which nobody can give {options.for_csv_only[0]}.")
    return ProcessReading(raw, form, options)


def _raw(source: str | Path | BinaryIO, undo: ExitStack) -> RawFile:
    if not isinstance(source, str | Path):
        return _spooled(source, undo)
    return raw_file(str(source) if isinstance(source, str) else str(source.resolve()))


def _spooled(file: BinaryIO, undo: ExitStack) -> RawFile:
    """An open file, copied to a temporary one so that it can be read twice and by Arrow's own code."""
    copy = undo.enter_context(tempfile.NamedTemporaryFile(prefix="archipelago-upload-"))  # noqa: SIM115
    with room_for("the copy of an upload", Path(copy.name)):
        copyfileobj(file, copy, 2**20)
        copy.flush()
    name = getattr(file, "name", None)
    shown = Path(name).name if isinstance(name, str) else "the uploaded data"
    return RawFile(shown, copy.name, copy.tell(), lambda: pa.OSFile(copy.name))
