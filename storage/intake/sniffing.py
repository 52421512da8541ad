"""What a file is, by its first bytes: they count more than its name, which people change."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from runtime.suggestions import did_you_mean
from storage.errors import BadRow, BadSource

FORMATS = ("csv", "parquet", "arrow")
START_BYTES = 16
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".data": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".arrows": "arrow",
}  # fmt: skip
_TABLES = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_WRONG_FILE = "Check the path; save the table as CSV."
_NO_PICKLE = "Pickles are never opened: they run code. Write the table as Parquet or CSV."
_OTHERS = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "Save the sheet as CSV, or unpack the archive."),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Save the sheet as CSV."),
    b"FEA1": ("a Feather file of version 1", "Write it as Parquet, CSV or Feather version 2."),
    b"\x89HDF": ("an HDF5 file", "Write the table as Parquet or CSV."),
    b"ORC": ("an ORC file", "Write the table as Parquet or CSV."),
    b"Obj\x01": ("an Avro file", "Write the table as Parquet or CSV."),
    b"SQLite format 3": ("an SQLite database", "Export the table as CSV."),
    b"\xfd7zXZ": ("compressed as xz", "Unpack it, or use gzip."),
    b"%PDF": ("a PDF document", "Save the table as CSV."),
    b"PK\x05\x06": ("an empty zip archive", "Check the path."),
    b"\x89PNG": ("a PNG picture", _WRONG_FILE),
    b"\xff\xd8\xff": ("a JPEG picture", _WRONG_FILE),
    b"GIF8": ("a GIF picture", _WRONG_FILE),
    b"\x7fELF": ("a program", _WRONG_FILE),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it."),
    b"Rar!": ("a RAR archive", "Unpack it."),
    b"\x93NUMPY": ("a NumPy array", "Write it with its columns' names as Parquet or CSV."),
    b"\x80\x03": ("a Python pickle", _NO_PICKLE),
    b"\x80\x04": ("a Python pickle", _NO_PICKLE),
    b"\x80\x05": ("a Python pickle", _NO_PICKLE),
    b"$FL2": ("an SPSS file", "Save the table as CSV."),
    b"<stata_dta>": ("a Stata file", "Save the table as CSV."),
    b"<!doctype": ("a web page", _WRONG_FILE),
    b"<html": ("a web page", _WRONG_FILE),
    b"<?xml": ("an XML document", "Save the table as CSV."),
}
_JSON_STARTS = (b'{"', b"[{", b"[[")
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_NO_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r"))
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def format_of(name: str, start: bytes, named: str | None) -> str:
    """The format of a file that begins with `start`. Raises BadSource for one that cannot be a table."""
    if named is not None and named not in FORMATS:
        raise BadSource(f"'{named}' is not a format of files.", hint=did_you_mean(named, FORMATS))
    if (other := _other(name, start, named)) is not None:
        what, advice = other
        raise BadSource(f"{name} is {what}, not a CSV, Parquet or Arrow file. Nothing was stored.", hint=advice)
    found = next((form for magic, form in _TABLES.items() if _begins(start, magic)), None)
    wanted = named or _SUFFIXES.get(_suffix(name))
    if named is not None and found is not None and found != named:
        raise BadSource(f"{name} is of format {found}, not {named}.", hint="Leave the format out: it is found out.")
    if wanted == "parquet" and found is None:
        raise BadSource(f"{name} does not begin as a Parquet file. Nothing was stored.", hint=_NAME_IT)
    if wanted == "arrow" and found is None and start[:1].isascii() and start[:1] != b"\0" and start.isascii():
        raise BadSource(f"{name} does not begin as an Arrow file. Nothing was stored.", hint=_NAME_IT)
    return found or wanted or "csv"


def _other(name: str, start: bytes, named: str | None) -> tuple[str, str] | None:
    """What a file is that cannot be a table, and what to do about it."""
    if b"".join(start.split()).startswith(_JSON_STARTS) or (named is None and _suffix(name) in _JSON_SUFFIXES):
        return "JSON", "Write the table as CSV or Parquet."
    return next((known for magic, known in _OTHERS.items() if _begins(start, magic)), None)


def _begins(start: bytes, magic: bytes) -> bool:
    """Whether a file begins so. Letters may begin a CSV's first column as well, so that more than text must follow."""
    if magic.startswith(b"<"):
        return start.lower().startswith(magic)
    return start.startswith(magic) and not (magic.isalnum() and start.translate(None, _NO_TEXT) == start)


_NAME_IT = "If it is a CSV, give it a name that ends with .csv."


_ZERO_BYTE = "Remove it where the file is made. If the text is in another encoding, give it: --encoding utf-16-le."


def refuse_binary(name: str, start: bytes) -> None:
    """Raise BadSource for a file that is read as CSV, in an encoding nobody named, and begins with no text."""
    if b"\0" not in start or any(start.startswith(mark) for mark in BYTE_ORDER_MARKS):
        return
    before = start[: start.index(0)]
    if before and start.count(0) == 1 and before.translate(None, _NO_TEXT) == before:
        line = before.count(b"\n") + 1
        shown = before.rpartition(b"\n")[2].decode(errors="replace")
        raise BadRow(name, line, None, shown, "a zero byte, which no text has, after", hint=_ZERO_BYTE)
    raise BadSource(
        f"{name} is no text: there are zero bytes at its start. Nothing was stored.",
        hint="A CSV, Parquet or Arrow file is needed. If it is text, give its encoding: --encoding utf-16-le.",
    )


def compression_of(start: bytes) -> str | None:
    """How a file that begins with `start` is compressed, or None."""
    return next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)


def unfolded_start(start: pa.NativeFile, compression: str | None) -> bytes:
    """The first bytes of what a file holds."""
    plain = pa.CompressedInputStream(start, compression) if compression else start
    return bytes(plain.read(START_BYTES))


def _suffix(name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".zst", ".lz4"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
