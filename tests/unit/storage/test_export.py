"""Tables and models as files for other programs."""

from __future__ import annotations

import datetime as dt
import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, ipc, parquet
from safetensors.numpy import load_file

from storage.client import (
    ColumnTypeRefused,
    Damaged,
    ExportFormat,
    Model,
    ModelNotFound,
    Store,
    exported,
    exported_model,
    read_model_file,
)
from storage.tables import export

ROWS = pa.table(
    {
        "id": ["a", 'b "quoted", with comma', "c\nbroken", None],
        "x": [0.1, float("nan"), float("inf"), None],
        "n": pa.array([1, 2**53 + 1, -3, None], pa.int64()),
        "on": [True, False, None, True],
        "day": [dt.date(2026, 2, 28), None, dt.date(1969, 12, 31), dt.date(9999, 12, 31)],
    }
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def table_of(store, rows):
    with store.tables.writer("ns/name", rows.schema) as writer:
        writer.write(rows)
    return store.tables.open("ns/name")


def file_of(table, form):
    return io.BytesIO(b"".join(exported(table, form)))


@pytest.mark.parametrize(
    ("form", "read"),
    [(ExportFormat.PARQUET, parquet.read_table), (ExportFormat.ARROW, lambda file: ipc.open_file(file).read_all())],
)
def test_a_table_reads_back_as_it_was(store, form, read):
    assert read(file_of(table_of(store, ROWS), form)).to_pydict().keys() == ROWS.to_pydict().keys()
    back = read(file_of(table_of(store, ROWS), form))
    assert back.drop_columns(["x"]).equals(ROWS.drop_columns(["x"]))
    np.testing.assert_array_equal(back["x"].to_numpy(), ROWS["x"].to_numpy())


def test_a_csv_keeps_names_digits_quotes_and_line_breaks(store):
    types = {"id": pa.string(), "n": pa.int64()}
    how = csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    back = csv.read_csv(
        file_of(table_of(store, ROWS), ExportFormat.CSV),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=how,
    )
    assert back.column_names == ROWS.column_names
    assert back["id"].to_pylist() == ROWS["id"].to_pylist()
    assert back["n"].to_pylist() == ROWS["n"].to_pylist()
    assert back["day"].to_pylist() == ROWS["day"].to_pylist()


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_table_without_rows_is_a_file_with_its_columns(store, form):
    assert len(file_of(table_of(store, ROWS.slice(0, 0)), form).getvalue()) > 0


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_file_comes_in_pieces_of_some_rows(store, form, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_ROWS", 100)
    table = table_of(store, pa.table({"x": np.arange(1000.0)}))
    assert len(list(exported(table, form))) == 11


def test_bytes_do_not_go_into_a_csv(store):
    table = table_of(store, pa.table({"raw": [b"\x00\xff"]}))
    with pytest.raises(ColumnTypeRefused, match="'raw' holds bytes"):
        next(exported(table, ExportFormat.CSV))
    assert file_of(table, ExportFormat.PARQUET).getvalue()


MODEL = Model("linear", 1, {"weights": np.array([0.5, -2.0]), "bias": np.zeros(1)}, {"features": ["age", "größe"]})


def test_a_model_is_a_safetensors_file_that_says_what_it_is(store, tmp_path):
    digest = store.models.save("job1/train.model", MODEL)
    found = exported_model(store.models, "job1/train.model")
    file = tmp_path / "m.safetensors"
    file.write_bytes(b"".join(found.pieces))
    assert file.stat().st_size == found.size
    np.testing.assert_array_equal(load_file(file)["weights"], [0.5, -2.0])
    back = read_model_file(file)
    assert (back.kind, back.details, back.digest()) == ("linear", MODEL.details, digest)


def test_a_file_that_was_changed_on_the_way_is_no_model(store, tmp_path):
    store.models.save("job1/train.model", MODEL)
    whole = bytearray(b"".join(exported_model(store.models, "job1/train.model").pieces))
    file = tmp_path / "m.safetensors"
    for damage in (whole[:-8], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"not a model at all"):
        file.write_bytes(damage)
        with pytest.raises(Damaged):
            read_model_file(file)
    with pytest.raises(Damaged):
        read_model_file(tmp_path / "absent")


def test_a_model_that_is_not_there_is_named(store):
    with pytest.raises(ModelNotFound, match=r"job1/train\.model"):
        exported_model(store.models, "job1/train.model")
