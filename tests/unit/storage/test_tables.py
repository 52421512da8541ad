"""Tables: names, versions, reading into NumPy, damage."""

from __future__ import annotations

import io
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest

from storage.client import (
    BadReference,
    ColumnNotFound,
    ColumnTypeRefused,
    Damaged,
    OutputRef,
    Place,
    SchemaVersionUnknown,
    Store,
    StoreUnavailable,
    TableManifest,
    TableNotFound,
    TableRef,
    TableRoles,
    TableSchemaMismatch,
    UsePolicy,
)
from tests.fakes.clock import FakeClock


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", clock=FakeClock())


def write(store, table, ref="ns/name"):
    with store.tables.writer(ref, table.schema) as writer:
        writer.write(table)
    return store.tables.open(ref)


@pytest.mark.parametrize("text", ["ns/name", "ns/name@3", "a-b/c_d.e@12"])
def test_a_reference_prints_as_it_was_read(text):
    assert str(TableRef.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "name", "ns/", "/name", "a/b/c", "ns/Name", "ns/..", "ns/name@", "ns/name@0", "ns/name@x", "../x/y"]
)
def test_what_is_no_reference_is_refused(store, text):
    with pytest.raises(BadReference):
        store.tables.open(text)


def test_an_output_knows_its_table():
    ref = OutputRef.parse("job:01JX/train.model")
    assert (str(ref), str(ref.table)) == ("01JX/train.model", "job-01jx/train-model")
    for text in ("01JX/train", "train.model", "../x/train.model"):
        with pytest.raises(BadReference):
            OutputRef.parse(text)


def test_unknown_tables_and_versions_say_what_there_is(store):
    write(store, pa.table({"x": [1.0]}), "breast/train")
    with pytest.raises(TableNotFound, match=r"no table 'breast/tarin' here\. Did you mean 'breast/train'"):
        store.tables.open("breast/tarin")
    with pytest.raises(TableNotFound, match=r"no version 2 .* Versions are 1\."):
        store.tables.open("breast/train@2")
    assert str(store.tables.resolve("breast/train")) == "breast/train@1"


def test_float_and_integer_columns_without_nulls_reach_numpy_without_a_copy(store):
    table = write(store, pa.table({"x": np.arange(1e5), "f": np.ones(100_000, "f4"), "n": np.arange(100_000)}))
    before = pa.total_allocated_bytes()
    for name in ("x", "f", "n"):
        first, second = table.column(name), table.column(name)
        assert first.__array_interface__["data"] == second.__array_interface__["data"]
        assert not first.flags.owndata
        assert not first.flags.writeable
    assert pa.total_allocated_bytes() - before < 10_000


def test_a_matrix_is_contiguous_and_has_nan_for_null(store):
    rows = 20_000
    columns = {
        "id": [str(i) for i in range(rows)],
        "x": np.arange(float(rows)),
        "n": pa.array([None if i % 7 == 0 else i for i in range(rows)]),
        "b": pa.array(np.arange(rows) % 2 == 0),
        "y": np.zeros(rows, np.int64),
    }
    for partition_rows in (rows, 999):
        from storage.tables.writer import TablePlan

        plan = TablePlan(
            schema=pa.table(columns).schema, roles=TableRoles(id="id", label="y"), partition_rows=partition_rows
        )
        with store.tables._writer(TableRef.parse("ns/name"), plan) as writer:
            writer.write(pa.table(columns))
        table = store.tables.open("ns/name")
        matrix = table.matrix()
        assert matrix.flags.c_contiguous
        assert matrix.dtype == np.float64
        assert matrix.shape == (rows, 3)
        np.testing.assert_array_equal(matrix[:, 0], columns["x"])
        np.testing.assert_array_equal(np.isnan(matrix[:, 1]), np.arange(rows) % 7 == 0)
        np.testing.assert_array_equal(matrix[:, 2], columns["b"])
        assert table.matrix(["x"], np.float32).dtype == np.float32
        assert sum(batch.num_rows for batch in table.batches()) == rows


def test_columns_that_are_not_there_or_not_numbers_are_refused(store):
    table = write(store, pa.table({"x": [1.0], "note": ["a"]}))
    with pytest.raises(ColumnNotFound, match="Did you mean 'note'"):
        table.column("noet")
    with pytest.raises(ColumnTypeRefused, match="'note' holds string, not numbers"):
        table.matrix()
    with pytest.raises(ColumnNotFound, match="has no id column"):
        table.ids()
    assert table.labels() is None
    assert repr(table) == "<Table ns/name@1: 1 rows, 2 columns>"


def test_rows_of_another_schema_are_refused(store):
    writer = store.tables.writer("ns/name", pa.schema([("x", pa.int64())]))
    with pytest.raises(TableSchemaMismatch, match=r"columns \['y'\]"):
        writer.write(pa.table({"y": [1]}))
    with pytest.raises(TableSchemaMismatch, match="Column 'x' does not fit"):
        writer.write(pa.table({"x": ["a"]}))
    writer.close()
    with pytest.raises(TableSchemaMismatch, match="closed"):
        writer.write(pa.table({"x": [1]}))


def test_concurrent_writers_get_different_versions(store):
    seen = []

    def work(i):
        with store.tables.writer("ns/name", pa.schema([("x", pa.int64())])) as writer:
            writer.write(pa.table({"x": [i] * (i + 1)}))
            seen.append((writer.close().version, i))

    threads = [Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version for version, _ in seen) == list(range(1, 9))
    for version, i in seen:
        assert store.tables.open(f"ns/name@{version}").column("x").tolist() == [i] * (i + 1)


def test_the_data_of_a_dead_writer_is_swept_and_of_a_living_one_is_not(store, tmp_path):
    living = store.tables.writer("ns/name", pa.schema([("x", pa.int64())]))
    living._take(pa.RecordBatch.from_pydict({"x": [1]}))
    living._flush()
    dead = tmp_path / "store/tables/ns/name/data/01DEAD"
    dead.mkdir()
    (dead / "part-00000.arrow").write_bytes(b"x")
    store.tables.writer("ns/name", pa.schema([("x", pa.int64())])).abandon()
    assert not dead.exists()
    assert living.close().rows == 1
    store.tables.writer("ns/name", pa.schema([("x", pa.int64())])).abandon()
    assert store.tables.open("ns/name").column("x").tolist() == [1]


def test_a_damaged_table_is_noticed(store, tmp_path):
    table = write(store, pa.table({"x": np.arange(100.0)}))
    part = next((tmp_path / "store").rglob("part-00000.arrow"))
    data = bytearray(part.read_bytes())
    data[200] ^= 1
    part.write_bytes(data)
    with pytest.raises(Damaged, match="another digest"):
        table.verify()
    part.write_bytes(data[:-10])
    with pytest.raises(Damaged, match="bytes, not"):
        store.tables.open("ns/name").to_arrow()
    part.write_bytes(bytes(len(data)))
    with pytest.raises(Damaged, match="part-00000"):
        store.tables.open("ns/name").to_arrow()
    part.unlink()
    with pytest.raises(Damaged, match="missing"):
        store.tables.open("ns/name").to_arrow()


def test_a_manifest_round_trips_and_other_versions_are_refused(store):
    table = write(store, pa.table({"x": [1.0]}))
    manifest = table.manifest
    assert TableManifest.from_json(manifest.to_json(), "m") == manifest
    assert [(name, kind) for name, kind in manifest.columns] == [("x", "double")]
    assert manifest.created_at == FakeClock().now()
    assert manifest.size_bytes == manifest.partitions[0].bytes
    newer = manifest.to_json().replace(b'"schema": 1', b'"schema": 2').replace(b'"schema":1', b'"schema":2')
    with pytest.raises(SchemaVersionUnknown, match="schema 2; this program knows 1"):
        TableManifest.from_json(newer, "m")
    for data in (b"{}", b"nonsense", b'{"schema": 1}'):
        with pytest.raises(Damaged, match="m is not"):
            TableManifest.from_json(data, "m")


def test_head_gives_the_first_rows(store):
    write(store, pa.table({"x": [1, 2, 3]}))
    assert store.tables.head("ns/name", 2).column("x").to_pylist() == [1, 2]
    assert store.tables.head("ns/name", -1).num_rows == 0


def test_a_store_that_cannot_be_reached_or_named_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable):
        write(Store(tmp_path / "file"), pa.table({"x": [1]}))
    with pytest.raises(BadReference, match="not the address of a store"):
        Place.of("nosuch://x/y")
    assert repr(Store(f"file://{tmp_path}")) == f"<Store <Place local:{tmp_path}>>"


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/x", "a//b", "a/.", "./a"])
def test_no_path_leads_out_of_the_store(tmp_path, path):
    (tmp_path / "x").write_text("outside")
    place = Place.of(tmp_path / "store")
    for act in (place.remove, place.read, place.exists, place.local, place.make_folder, lambda p: place.write(p, b"")):
        with pytest.raises(BadReference):
            act(path)
    with pytest.raises(BadReference):
        place.remove("")
    assert (tmp_path / "x").read_text() == "outside"


BAD_MANIFESTS = ["{}", "no JSON", '{"schema": 9}']


@pytest.mark.parametrize("text", BAD_MANIFESTS)
def test_a_version_that_cannot_be_read_blocks_no_other_of_its_name(store, tmp_path, text):
    for owner in ("ann", "ben"):
        store.tables.upload(io.BytesIO(b"x\n1\n"), "ns/name", format="csv", owner=owner)
    (tmp_path / "store/tables/ns/name/2.json").write_text(text)
    asked = []
    made = store.tables.upload(io.BytesIO(b"x\n1\n2\n"), "ns/name", format="csv", may_follow=asked.append)
    assert made.version == 3
    assert [manifest.owner for manifest in asked] == ["ann"]
    assert store.tables.open("ns/name").rows == 2
    assert [entry.reference for entry in store.tables.listing()[1]] == ["ns/name@2"]
    assert [manifest.version for manifest in store.tables.history("ns/name")] == [1, 3]
    assert store.use.of_table("ns/name") == UsePolicy()
    for use in (store.tables.open, store.tables.last):
        with pytest.raises((Damaged, SchemaVersionUnknown)):
            use("ns/name@2")


@pytest.mark.parametrize("text", BAD_MANIFESTS)
def test_a_name_of_which_no_version_can_be_read_takes_uploads(store, tmp_path, text):
    store.tables.upload(io.BytesIO(b"x\n1\n"), "ns/name", format="csv", owner="ann")
    (tmp_path / "store/tables/ns/name/1.json").write_text(text)
    with pytest.raises((Damaged, SchemaVersionUnknown)):
        store.tables.last("ns/name")
    made = store.tables.upload(io.BytesIO(b"x\n1\n"), "ns/name", format="csv", may_follow=pytest.fail)
    assert made.version == 2
    store.tables.delete("ns/name@1")
    assert store.tables.last("ns/name").version == 2


def test_data_of_a_version_that_cannot_be_read_stays_until_that_version_is_deleted(store, tmp_path):
    for _ in range(2):
        write(store, pa.table({"x": [1.0]}))
    folder = tmp_path / "store/tables/ns/name"
    (lost,) = {Path(part.file).parts[1] for part in store.tables.manifest("ns/name@1").partitions}
    (folder / "1.json").write_text("{}")
    write(store, pa.table({"x": [1.0]}))
    assert (folder / "data" / lost).is_dir()
    store.tables.delete("ns/name@1")
    write(store, pa.table({"x": [1.0]}))
    assert not (folder / "data" / lost).exists()
    assert store.tables.open("ns/name").rows == 1
