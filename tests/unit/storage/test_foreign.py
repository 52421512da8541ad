"""Arrow and Parquet files made to harm: they are refused by a sentence, and read where there is nothing to find."""

from __future__ import annotations

import io
import os
import resource
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from storage.client import BadSource, ColumnTypeRefused, Damaged, SourceOptions, Store, TableSchemaMismatch
from storage.errors import ValueDamaged
from storage.frames import read_stream, write_stream
from storage.intake.foreign import ForeignFile
from storage.intake.reader import CPU_S, MAX_FRAME_BYTES, ProcessReading
from storage.intake.sources import RawFile, raw_file

VECTORS = Path(__file__).parents[2] / "vectors" / "foreign_v1"


def arrow(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new)


def views_outside() -> bytes:
    """A string view of 30 MB in a buffer of 64 bytes."""
    data = arrow(pa.table({"s": pa.array(["A" * 64], pa.string_view())}))
    return replaced(data, struct.pack("<i4sii", 64, b"AAAA", 0, 0), struct.pack("<i4sii", 30_000_000, b"AAAA", 0, 0))


def offsets_outside() -> bytes:
    data = arrow(pa.table({"s": ["A" * 8] * 4}))
    return replaced(data, struct.pack("<5i", 0, 8, 16, 24, 32), struct.pack("<5i", 0, 1_000_000, 16, 24, 32))


def indices_outside() -> bytes:
    words = pa.DictionaryArray.from_arrays(pa.array([7, 7, 7, 7, 7], pa.int64()), pa.array(list("abcdefgh")))
    return replaced(arrow(pa.table({"d": words})), struct.pack("<5q", *[7] * 5), struct.pack("<5q", *[10**9] * 5))


def unfolding() -> bytes:
    """A few kilobytes whose 200,000 rows are of 64 MB each."""
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["z" * 2**26]))
    return arrow(pa.table({"d": words}), compression="zstd")


def endless() -> bytes:
    """Rows without a byte for them."""
    return replaced(arrow(pa.table({"n": pa.nulls(77_777)})), struct.pack("<q", 77_777), struct.pack("<q", 2**40))


HOSTILE = {
    "views outside their buffer": views_outside,
    "offsets outside their buffer": offsets_outside,
    "indices outside their dictionary": indices_outside,
    "a file that unfolds": unfolding,
    "rows without bytes": endless,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_made_to_harm_is_refused_and_leaves_nothing(tmp_path, what):
    file = tmp_path / "data.arrow"
    file.write_bytes(HOSTILE[what]())
    assert file.stat().st_size < 1_100_000
    store = Store(tmp_path / "store")
    with pytest.raises((BadSource, TableSchemaMismatch)):
        store.tables.upload(file, "t/hostile")
    assert store.tables.list() == []
    assert list((tmp_path / "store").rglob("part-*")) == []


@pytest.mark.parametrize("name", sorted(path.name for path in VECTORS.iterdir()))
def test_a_file_that_once_ended_its_reader_is_refused(name):
    data = (VECTORS / name).read_bytes()
    with pytest.raises(BadSource):
        list(
            ForeignFile(
                RawFile(name, name, len(data), lambda: pa.BufferReader(data)), "arrow", SourceOptions()
            ).pieces()
        )


def test_a_zone_or_a_date_that_no_calendar_knows_is_refused(tmp_path):
    store = Store(tmp_path / "store")
    file = tmp_path / "data.arrow"
    file.write_bytes(arrow(pa.table({"t": pa.array([1], pa.timestamp("us", "Mars/\x1b[2JBase"))})))
    with pytest.raises(ColumnTypeRefused, match=r"zone 'Mars/.\[2JBase', which is not known"):
        store.tables.upload(file, "t/zone")
    file.write_bytes(arrow(pa.table({"d": pa.array([2**31 - 1], pa.date32())})))
    with pytest.raises(TableSchemaMismatch, match="Column 'd' has a date outside the years 1 to 9999"):
        store.tables.upload(file, "t/date")


def test_a_file_that_ends_the_process_that_reads_it_is_refused(tmp_path):
    file = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), file)
    reading = ProcessReading(raw_file(str(file)), "parquet", SourceOptions())
    batches = reading.batches()
    next(batches)
    reading._process.kill()
    with pytest.raises(BadSource, match="it made the process that was reading it end"):
        list(batches)
    reading.close()


def test_no_memory_is_taken_for_bytes_that_were_only_said_to_come(tmp_path):
    file = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"x": [1]}), file)
    reading = ProcessReading(raw_file(str(file)), "parquet", SourceOptions())
    tracemalloc.start()
    with pytest.raises(BadSource, match="it made the process that was reading it end"):
        reading._exactly(MAX_FRAME_BYTES)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    reading.close()


def test_the_process_that_reads_has_neither_our_memory_nor_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ARCHIPELAGO_SECRET", "hush")
    file = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), file)
    reading = ProcessReading(raw_file(str(file)), "parquet", SourceOptions())
    pid = reading._process.pid
    assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert b"storage.intake.reader" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert os.getpid() != pid
    assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] == CPU_S + (file.stat().st_size >> 20)
    reading.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (struct.pack("<q", 5), struct.pack("<q", 2**40), "more rows than its"),
        (struct.pack("<qq", 0, 40), struct.pack("<qq", 0, 2**40), "buffer outside its message"),
        (struct.pack("<qq", 0, 40), struct.pack("<qq", -8, 40), "buffer outside its message"),
    ],
)
def test_the_layout_of_a_message_is_checked_before_arrow_reads_it(field, value, says):
    table = pa.table({"x": range(5)})
    data = write_stream(table.schema, table.to_batches()).to_pybytes()
    with pytest.raises(ValueDamaged, match=says):
        read_stream(replaced(data, field, value))


def test_a_partition_that_another_host_changed_is_damaged_and_not_read(tmp_path):
    store = Store(tmp_path)
    table = pa.table({"id": ["A" * 8] * 4})
    with store.tables.writer("t/n", table.schema) as writer:
        writer.write(table)
    (file,) = tmp_path.rglob("part-*.arrow")
    whole = file.read_bytes()
    file.write_bytes(replaced(whole, struct.pack("<5i", 0, 8, 16, 24, 32), struct.pack("<5i", 0, 10**6, 16, 24, 32)))
    with pytest.raises(Damaged, match=r"t/n@1, file .* has another digest"):
        store.tables.head("t/n")
    file.write_bytes(whole)
    assert store.tables.head("t/n").num_rows == 4
