"""A process that reads one uploaded Arrow or Parquet file and passes its rows on, and the other end of it.

The process is a new one: nothing of the service's memory is in it, so that a file that makes the library read where
it should not finds nothing, and a file that kills it or fills its memory harms nobody. What it passes on is not
believed either: each piece is one stream that `storage.frames` reads as strictly as a message from another party.

    frame = kind (1 byte), bytes of the source done so far, bytes of the content (two uint64, little-endian), content
"""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from runtime.errors import PlatformError, all_codes
from runtime.text import printable
from storage.errors import BadSource, ValueDamaged, amount
from storage.facts import TableRoles
from storage.frames import read_stream, write_stream
from storage.intake.raw_file import RawFile, is_uri, raw_file
from storage.intake.source_options import SourceOptions

MEMORY_BYTES = 1 << 30  # beyond what it has when it starts, and beyond MEMORY_TIMES the file
MEMORY_TIMES = 4
MAX_FRAME_BYTES = 1 << 31
PIECE_BYTES = 1 << 20
MAX_REMARKS_BYTES = 1 << 20
CPU_S = 300  # of computing, and one second more for each MiB of the file
_HEAD = struct.Struct("<cQQ")
_SCHEMA, _ROWS, _ERROR, _END = b"S", b"R", b"E", b"D"
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_CONFIG")
OWN_ERRORS = ("storage.",)
_BROKE = "it made the process that was reading it end"


class ProcessReading:
    """An Arrow or Parquet file, read by a process of its own. Raises BadSource and its kind."""

    def __init__(self, raw: RawFile, form: str, options: SourceOptions) -> None:
        self._raw = raw
        self._done = 0
        self._remarks: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "storage.intake.reader", raw.where, form, raw.name, json.dumps(asdict(options))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=_environment(raw),
        )
        try:
            self._schema = self._first()
        except BaseException:
            self.close()
            raise

    def schema(self) -> pa.Schema:
        """The columns, in the types that they are stored in."""
        return self._schema

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """All rows; to be read once."""
        for kind, content in self._frames():
            if kind != _ROWS:
                self._remarks = self._sentences(bytes(content))
                return
            yield from self._believed(content, self._schema)[1]

    def is_complete(self) -> bool:
        """Always: such a file knows its types."""
        return True

    def position(self) -> tuple[int, int]:
        """Bytes of the file, as far as the other process says."""
        return min(self._done, self._raw.size), self._raw.size

    def row_name(self, row: int) -> str:
        """Where a row stands in the file."""
        return f"row {row + 1} of {self._raw.name}"

    def remarks(self) -> list[str]:
        """What the other process found: numbers that were rounded, zones that were left out."""
        return self._remarks

    def close(self) -> None:
        """End the process, if it has not ended yet."""
        self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()

    def _first(self) -> pa.Schema:
        for kind, content in self._frames():
            if kind == _SCHEMA:
                return self._believed(content, None)[0]
            break
        raise self._unreadable(_BROKE)

    def _frames(self) -> Iterator[tuple[bytes, pa.Buffer]]:
        while True:
            kind, self._done, size = _HEAD.unpack(self._exactly(_HEAD.size))
            if size > MAX_FRAME_BYTES:
                raise self._unreadable("one row of it is too large")
            content = self._exactly(size)
            if kind == _ERROR:
                raise _error(bytes(content))
            yield kind, pa.py_buffer(content)
            if kind == _END:
                return

    def _exactly(self, size: int) -> bytearray:
        """So many bytes; memory is taken for those that have come, not for those that were said to come."""
        content, out = bytearray(), self._process.stdout
        while len(content) < size:
            piece = out.read(min(size - len(content), PIECE_BYTES)) if out is not None else b""
            if not piece:
                raise self._unreadable(_BROKE)
            content += piece
        return content

    def _believed(self, content: pa.Buffer, schema: pa.Schema | None) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        try:
            found, batches = read_stream(content)
        except ValueDamaged as error:
            raise self._unreadable("what was read of it is damaged") from error
        if schema is not None and found != schema:
            raise self._unreadable("its columns change on the way")
        return found, batches

    def _sentences(self, content: bytes) -> list[str]:
        try:
            said = json.loads(content[:MAX_REMARKS_BYTES])
        except (ValueError, RecursionError) as error:
            raise self._unreadable(_BROKE) from error
        return [printable(str(each)) for each in said] if isinstance(said, list) else []

    def _unreadable(self, problem: str) -> BadSource:
        return BadSource(
            f"{self._raw.name} cannot be read: {problem}. Nothing was stored.",
            hint="Write the file again, with another program or as CSV.",
        )


def _environment(raw: RawFile) -> dict[str, str]:
    """Nothing that the service was told, unless a store elsewhere may need it; an allocator that reserves nothing."""
    kept = {k: v for k, v in os.environ.items() if is_uri(raw.where) or k in _ENVIRONMENT}
    return kept | {"ARROW_DEFAULT_MEMORY_POOL": "system"}


def main(where: str, form: str, name: str, said: str) -> None:
    """Read the file and write frames to stdout; what goes wrong becomes a frame, or this process's end."""
    from storage.intake.foreign import ForeignFile

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go where memory runs out
    try:
        raw = raw_file(where, name)
        limit = _limit_memory(raw.size)
        _limit_computing(raw.size)
        try:
            file = ForeignFile(raw, form, _options(json.loads(said)))
            _write(out, _SCHEMA, 0, write_stream(file.schema, []))
            for done, batch in file.pieces():
                _write(out, _ROWS, done, write_stream(file.schema, [batch]))
        except MemoryError as error:
            raise BadSource(
                f"{name} takes more than {amount(limit)} of memory to be read. Nothing was stored.",
                hint="Write it in smaller row groups or record batches, or as CSV.",
            ) from error
        _write(out, _END, raw.size, json.dumps(file.remarks()).encode())
    except PlatformError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        _write(out, _ERROR, 0, json.dumps(told).encode())
    out.flush()


def _options(said: dict[str, Any]) -> SourceOptions:
    return SourceOptions(**said | {"roles": TableRoles(**said["roles"])})


def _write(out: BinaryIO, kind: bytes, done: int, content: bytes | pa.Buffer) -> None:
    view = memoryview(content).cast("B")  # type: ignore[arg-type]
    out.write(_HEAD.pack(kind, done, len(view)))
    out.write(view)
    out.flush()


def _limit_memory(file_bytes: int) -> int:
    """From now on this process gets no more memory than a fair file of that size can need; returns how much that is."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = MEMORY_BYTES + MEMORY_TIMES * file_bytes
    whole = pages * os.sysconf("SC_PAGE_SIZE") + limit
    resource.setrlimit(resource.RLIMIT_AS, (whole, whole))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


def _limit_computing(file_bytes: int) -> None:
    """From now on this process computes no longer than a fair file of that size can need; then the kernel ends it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = CPU_S + (file_bytes >> 20)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def _error(content: bytes) -> PlatformError:
    """The error that the other process met, if it is one of ours."""
    told = json.loads(content)
    kind = all_codes().get(str(told["code"]), BadSource)
    fits = kind.code.startswith(OWN_ERRORS) and kind.__init__ is PlatformError.__init__
    return (kind if fits else BadSource)(str(told["message"]), hint=str(told["hint"]))


if __name__ == "__main__":
    main(*sys.argv[1:5])
