"""The beginning of a CSV: its encoding, its delimiter, its column names, and the index that pandas wrote."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from io import StringIO
from itertools import islice

import pyarrow as pa

from runtime.text import printable
from storage.columns.types import MAX_NAME_CHARS, check_names
from storage.errors import BadColumnName, BadRow, BadSource, DuplicateColumn, EmptySource
from storage.intake.csv_faults import ENCODING_HINT
from storage.intake.csv_losses import ZeroSign
from storage.intake.csv_words import DECIMAL_SIGNS, number_pattern
from storage.intake.raw_file import RawFile, reading_errors
from storage.intake.sniffing import BYTE_ORDER_MARKS
from storage.intake.source_options import SourceOptions

BLOCK_BYTES = 2**20  # also the longest row; larger blocks stay in the allocators' caches
DELIMITERS = ",;\t|"
_BYTE_ORDER_MARK = "\ufeff"
_PANDAS_INDEX = ("", "Unnamed: 0")
_SAMPLE_ROWS = 100
_SHOWN_CHARS = 40
_EXCEL_MARK = re.compile(r"\s*sep=.\s*", re.IGNORECASE)
_UTF_8 = ("utf-8", "utf-8-sig", "ascii")
_NUMBERS = [re.compile(number_pattern(sign)) for sign in DECIMAL_SIGNS]
_GROWTH = 4  # the most bytes of UTF-8 that one byte of another encoding becomes


@dataclass(frozen=True)
class Header:
    """How a CSV begins.

    Attributes:
        columns: The names, in order.
        delimiter: Between fields.
        encoding: What the text is decoded from; None for UTF-8.
        index: The name of a column that merely counts rows and is left out, or None.
        remarks: What the user should be told.
    """

    columns: list[str]
    delimiter: str
    encoding: str | None
    index: str | None
    remarks: list[str]


class Tap:
    """The decompressed bytes as UTF-8, on their way to the parser.

    Counts double quotes and line breaks, since the parser closes a quote left open without a word, and looks for
    leading zeros.
    """

    def __init__(self, raw: RawFile, encoding: str | None = None) -> None:
        self._name = raw.name
        self._file = raw.open()
        self._plain = pa.CompressedInputStream(self._file, raw.compression) if raw.compression else self._file
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        self._encoding = encoding
        self._lines = 1
        self._waiting = b""
        self.zeros = ZeroSign()
        self.quotes = self.breaks = 0
        self.done = 0

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return bool(self._plain.closed)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, never more than asked for."""
        data: bytes = self._plain.read(None if size < 0 else size) if self._decoder is None else self._decoded(size)
        self.quotes += data.count(b'"')
        self.breaks += data.count(b"\n")
        self.zeros.look(data)
        self.done = self._file.tell()
        return data

    def close(self) -> None:
        """Close the file."""
        self._plain.close()
        self._file.close()

    def _decoded(self, size: int) -> bytes:
        while not self._waiting:
            data = self._plain.read(None if size < 0 else max(1, size // _GROWTH))
            try:
                text = self._decoder.decode(data, not data)  # type: ignore[union-attr]
            except UnicodeDecodeError as error:
                shown = repr(error.object[error.start : error.start + 10])
                line = self._lines + error.object[: error.start].count(b"\n")
                raise BadRow(
                    self._name, line, None, shown, f"not text in {self._encoding}", hint=ENCODING_HINT
                ) from None
            self._lines += text.count("\n")
            self._waiting = text.encode(errors="replace")
            if not data:
                break
        taken = len(self._waiting) if size < 0 else size
        now, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return now


def read_header(raw: RawFile, options: SourceOptions) -> Header:
    """The header line. Raises BadRow, EmptySource."""
    encoding, remarks = _encoding(raw, options)
    with reading_errors(raw), closing(Tap(raw, encoding)) as file:
        start = file.read(BLOCK_BYTES)
    text = _text(raw, start)
    first = next((line for line in text.splitlines() if line), "")
    if not first:
        raise EmptySource(f"{raw.name} is empty. Nothing was stored.")
    if _EXCEL_MARK.fullmatch(first):
        raise BadSource(
            f"The first line of {raw.name}, '{printable(first)}', tells Excel what stands between fields and is no "
            "row. Nothing was stored.",
            hint="Remove that line: what stands between fields is found out, or given, --delimiter.",
        )
    if not options.no_header and len(start) < BLOCK_BYTES and sum(map(bool, start.splitlines())) == 1:
        raise EmptySource(f"{raw.name} has a header but no rows. Nothing was stored.")
    sign = options.delimiter or max(DELIMITERS, key=first.count)
    rows = (row for row in csv.reader(StringIO(text, newline=""), delimiter=sign) if row)
    columns = _names(raw, rows)
    if options.no_header:
        return Header(_given_names(raw, options, len(columns)), sign, encoding, None, remarks)
    if blank := [name for name in columns if name != name.strip() and name.strip()]:
        remarks.append(
            f"The name of column '{blank[0][:_SHOWN_CHARS]}' begins or ends with a blank, which is part of it: "
            "a party that writes it without has another column."
        )
    index = _index(columns, _sample(rows), options)
    if index is not None:
        shown = f"'{index}'" if index else "without a name"
        remarks.append(f"The first column, {shown}, counts the rows, as pandas writes its index; it was left out.")
    return Header(columns, sign, encoding, index, remarks)


def check_header(file: str, names: Sequence[str], first: int = 1) -> None:
    """Raise as `check_names` does; says so where the names look like values. `first` is the first one's number."""
    try:
        check_names(names, file, first)
    except BadColumnName as error:
        if any("\t" in name for name in names):
            error.hint = "If tabs stand between the fields, say so: --delimiter tab. Else rename the column."
        elif broken := [number for number, name in enumerate(names) if "\n" in name or "\r" in name]:
            start = printable(names[broken[0]].splitlines()[0][:_SHOWN_CHARS])
            raise BadColumnName(
                f"{file}: the name of column {first + broken[0]}, '{start}…', goes on over the end of its line.",
                hint="A double quote is opened in it and not closed on that line: close it, or take it out.",
            ) from error
        raise
    except DuplicateColumn as error:
        numbers = sum(any(number.fullmatch(name) for number in _NUMBERS) for name in names)
        if 2 * numbers >= len(names):
            error.hint = f"The first line of {file} looks like values: put a line with the columns' names before it, "
            error.hint += "or say that there is none: --no-header, with --columns A,B,… to name them."
        elif not names[0].strip():
            error.hint = "If it is the index of pandas, write the file with index=False, or give the index a name."
        raise


def _names(raw: RawFile, rows: Iterator[list[str]]) -> list[str]:
    try:
        return next(rows)
    except csv.Error as error:
        raise BadColumnName(
            f"{raw.name}: a column has a name of more than {MAX_NAME_CHARS} characters.",
            hint="A double quote may be opened in the first line and never closed.",
        ) from error


def _given_names(raw: RawFile, options: SourceOptions, count: int) -> list[str]:
    """The names of a file that holds none, for its first row's `count` fields."""
    names = list(options.columns) or [f"column{i + 1}" for i in range(count)]
    if len(names) != count:
        raise BadSource(
            f"{raw.name}: {len(names)} columns are named, the first line has {count} fields. Nothing was stored.",
            hint="Name every column of the file in its order; --drop leaves some out.",
        )
    return names


def _sample(rows: Iterator[list[str]]) -> list[list[str]]:
    """The first rows; those before one that cannot be read, which is named when its turn comes."""
    found: list[list[str]] = []
    with suppress(csv.Error):
        found.extend(islice(rows, _SAMPLE_ROWS))
    return found


def _encoding(raw: RawFile, options: SourceOptions) -> tuple[str | None, list[str]]:
    if options.encoding is not None:
        name = codecs.lookup(options.encoding).name
        return (None if name in _UTF_8 else name), []
    with reading_errors(raw), closing(Tap(raw)) as file:
        found = BYTE_ORDER_MARKS.get(file.read(2))
    return found, [f"The text was read as {found}, since its first bytes say so."] if found else []


def _text(raw: RawFile, start: bytes) -> str:
    """As much of the beginning as is UTF-8, which must be the header line at least."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if b"\n" not in start[: error.start] and error.start < len(start) - 4:
            shown = start[:80].decode(errors="replace")
            raise BadRow(raw.name, 1, None, shown, "not UTF-8 text", hint=ENCODING_HINT) from error
        text = start[: error.start].decode()
    return text.removeprefix(_BYTE_ORDER_MARK)


def _index(columns: list[str], sample: list[list[str]], options: SourceOptions) -> str | None:
    """The name of the first column if it is one that pandas wrote to count rows and nobody asked for it."""
    name = columns[0]
    asked = {*options.roles.columns.values(), *options.features, *options.column_types}
    counts = all(row[0] == str(i) for i, row in enumerate(sample))
    is_index = name.strip() in _PANDAS_INDEX and name not in asked and columns.count(name) == 1
    return name if is_index and counts and len(columns) > 1 and sample else None
