"""Valid files and messages, changed at random, through every reader, many in one process.

    python -m tests.property.storage.mutations SEED START COUNT NOTES

tells in NOTES (eight bytes) which case it is at, so that whoever started it knows which one ended it. It prints a line
for each case that raised something without a name or made the process grow by more than GROWTH_MB.
"""

from __future__ import annotations

import io
import random
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from pyarrow import csv, ipc, parquet

from runtime.errors import PlatformError
from storage.client import Ciphertexts, SourceOptions, decode, describe, encode
from storage.columns.types import ContentDigest, check_days, normal_schema, normal_table
from storage.columns.unique import IdCheck
from storage.frames import read_partition, read_stream, write_stream
from storage.intake.csv_source import CsvReading
from storage.intake.foreign import ForeignFile
from storage.intake.sources import RawFile
from storage.tables.writer import _file_bytes

GROWTH_MB = 100
ADDRESS_BYTES = 6 << 30
ROWS = 40
TELLING = (0, 1, -1, 7, 8, 16, 127, 255, 1000, 2**15, 2**16, 2**30, 2**31 - 1, 2**31, 2**33, 2**40, 2**62, -(2**63))


def _texts() -> list[str | None]:
    return ["s" * (i % 30) + str(i) if i % 7 else None for i in range(ROWS)]


def _tables() -> dict[str, pa.Table]:
    rng, texts = np.random.default_rng(0), _texts()
    octets = [None if text is None else text.encode() for text in texts]
    day, moment = date(2026, 1, 2), datetime(2026, 1, 2, 3)  # noqa: DTZ001
    return {
        "fixed": pa.table({"id": range(ROWS), "x": rng.random(ROWS), "b": pa.array(range(ROWS), pa.uint8())}),
        "nulls": pa.table({"n": pa.array([i if i % 5 else None for i in range(ROWS)]), "none": pa.nulls(ROWS)}),
        "bool": pa.table({"b": [i % 2 == 0 for i in range(ROWS)]}),
        "string": pa.table({"s": pa.array(texts, pa.string()), "b": pa.array(octets, pa.binary())}),
        "large_string": pa.table({"s": pa.array(texts, pa.large_string()), "b": pa.array(octets, pa.large_binary())}),
        "string_view": pa.table({"s": pa.array(texts, pa.string_view()), "x": range(ROWS)}),
        "binary_view": pa.table({"b": pa.array(octets, pa.binary_view())}),
        "fixed_binary": pa.table({"b": pa.array([b"abcd"] * ROWS, pa.binary(4))}),
        "dictionary": pa.table({"d": pa.array(texts).dictionary_encode(), "x": range(ROWS)}),
        "decimal": pa.table({"d": pa.array([Decimal(i) / 4 for i in range(ROWS)], pa.decimal128(10, 2))}),
        "time": pa.table({"t": pa.array([moment] * ROWS, pa.timestamp("ms", "UTC")), "d": [day] * ROWS}),
        "list": pa.table({"l": pa.array([[1.0] * (i % 4) for i in range(ROWS)])}),
        "fixed_list": pa.table({"l": pa.array([[1.0, 2.0]] * ROWS, pa.list_(pa.float64(), 2))}),
        "struct": pa.table({"s": pa.array([{"a": i, "b": str(i)} for i in range(ROWS)])}),
    }


def _arrow(table: pa.Table, new: Callable[..., ipc.RecordBatchStreamWriter], compression: str | None) -> bytes:
    sink = io.BytesIO()
    with new(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=25)
    return sink.getvalue()


def _parquet(table: pa.Table, compression: str, version: str) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, row_group_size=25, compression=compression, data_page_version=version)
    return sink.getvalue()


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(table, sink)
    return sink.getvalue()


def _values() -> Iterator[tuple[str, bytes]]:
    numbers = np.arange(12.0).reshape(3, 4)
    cipher = Ciphertexts("ab", "{}", 6, pa.array([b"12345678"] * 3, pa.binary(8)))
    table = pa.table({"id": range(5), "s": ["a", "b", None, "", "ü"], "x": np.arange(5.0)})
    fields = {"none": None, "bool": True, "int": 7, "float": 0.5, "text": "grüße", "bytes": b"\0\1", "array": numbers}
    fields |= {"flags": numbers > 3, "ciphertexts": cipher}
    for name, value in (*fields.items(), ("table", table), ("record", fields), ("nothing", {})):
        yield f"value/{name}", encode(value).to_pybytes()


@cache
def seeds() -> list[tuple[str, bytes]]:
    """Every valid file and message, under `reader/what`."""
    found = list(_values())
    for name, table in _tables().items():
        for compression in (None, "lz4", "zstd"):
            found.append((f"arrow/{name} file {compression}", _arrow(table, ipc.new_file, compression)))
            found.append((f"arrow/{name} stream {compression}", _arrow(table, ipc.new_stream, compression)))
        for compression, version in (("none", "1.0"), ("snappy", "2.0"), ("zstd", "1.0")):
            found.append((f"parquet/{name} {compression}", _parquet(table, compression, version)))
        if name not in ("list", "fixed_list", "struct"):  # what tables cannot hold
            schema = normal_schema(table.schema)
            (batch,) = normal_table(table, schema).combine_chunks().to_batches()
            found.append((f"partition/{name}", _file_bytes(batch).to_pybytes()))
        if name in ("fixed", "nulls", "bool", "string", "time"):
            found.append((f"csv/{name}", _csv(table)))
    return found


def case(seed: int, number: int) -> tuple[str, bytes]:
    """One of the valid ones, changed in one to six places."""
    rnd = random.Random(f"{seed}/{number}")
    name, data = rnd.choice(seeds())
    changed = bytearray(data)
    for _ in range(rnd.choice((1, 1, 1, 2, 3, 6))):
        _change(rnd, changed)
    return name, bytes(changed)


def _change(rnd: random.Random, data: bytearray) -> None:
    at = rnd.randrange(len(data))
    match rnd.randrange(7):
        case 0:
            data[at] ^= 1 << rnd.randrange(8)
        case 1:
            data[at] = rnd.randrange(256)
        case 2:
            size = rnd.choice((4, 8))
            at -= at % 4
            data[at : at + size] = (rnd.choice(TELLING) % 256**size).to_bytes(size, "little")
        case 3 if at - at % 4 + 4 <= len(data):
            at -= at % 4
            (old,) = struct.unpack_from("<i", data, at)
            data[at : at + 4] = ((old + rnd.choice((-8, -4, -1, 1, 4, 8, 16, 100))) % 2**32).to_bytes(4, "little")
        case 4:
            of, size = rnd.randrange(len(data)), rnd.choice((4, 8, 16, 64))
            data[at : at + size] = data[of : of + size]
        case 5 if len(data) > 80:
            del data[at : at + rnd.choice((1, 8, 64))]
        case _:
            data[at:at] = bytes(rnd.choice((1, 8, 64)))


def _use(batch: pa.RecordBatch) -> None:
    """What a store does with rows."""
    ContentDigest(batch.schema).update(batch)
    for column in batch.columns:
        if (pa.types.is_integer(column.type) or pa.types.is_string(column.type)) and not column.null_count:
            ids = IdCheck(column.type)
            ids.add(column)
            ids.check("id", list)
            break
    batch.slice(0, 3).to_pylist()


def _raw(data: bytes) -> RawFile:
    return RawFile("data", "data", len(data), lambda: pa.BufferReader(data))


def _read_foreign(form: str, data: bytes) -> None:
    file = ForeignFile(_raw(data), form, SourceOptions())
    for _, batch in file.pieces():
        for believed in read_stream(write_stream(file.schema, [batch]))[1]:
            _use(believed)


def _read_csv(data: bytes) -> None:
    reading = CsvReading(_raw(data), SourceOptions())
    try:
        while not reading.is_complete():
            schema = normal_schema(reading.schema())
            for batch in reading.batches():
                _use(normal_table(batch, schema).combine_chunks().to_batches()[0])
    finally:
        reading.close()


def _read_value(data: bytes) -> None:
    describe(data)
    value = decode(data)
    for field in value.values() if isinstance(value, dict) else [value]:
        if isinstance(field, np.ndarray):
            field.tobytes()
        elif isinstance(field, Ciphertexts):
            field.data.to_pylist()
        elif isinstance(field, pa.Table):
            field.slice(0, 100).to_pylist()


def _read_partition(data: bytes) -> None:
    batch = read_partition(pa.py_buffer(data))
    check_days(batch)
    if batch.schema == normal_schema(batch.schema):  # no other is what a manifest says
        _use(batch)


READERS = MappingProxyType(
    {
        "arrow": lambda data: _read_foreign("arrow", data),
        "parquet": lambda data: _read_foreign("parquet", data),
        "csv": _read_csv,
        "value": _read_value,
        "partition": _read_partition,
    }
)


def read(name: str, data: bytes) -> str:
    """What is wrong with how the reader took the bytes, or nothing. An error with a name is right."""
    before = _peak_mb(reset=True)
    problem = ""
    try:
        READERS[name.partition("/")[0]](data)
    except (PlatformError, MemoryError):
        pass
    except Exception as error:
        problem = f"raised {type(error).__name__}: {error}"
    growth = _peak_mb() - before
    return problem or (f"grew by {growth} MB" if growth > GROWTH_MB else "")


def _peak_mb(*, reset: bool = False) -> int:
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main(seed: int, start: int, count: int, notes: Path) -> None:
    """Read `count` cases."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))  # the machine is spared in any case
    with notes.open("r+b", buffering=0) as file:
        for number in range(start, start + count):
            file.seek(0)
            file.write(struct.pack("<q", number))
            problem = read(*case(seed, number))
            if problem:
                print(number, problem, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), Path(sys.argv[4]))  # type: ignore[misc, arg-type]
