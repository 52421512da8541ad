"""What is wrong with a file is said with the file's name, and as what the file is."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from pyarrow import parquet

from runtime.errors import InvalidInput
from storage.client import BadSource, ColumnTypeRefused, EmptySource, SourceOptions, Store, TableRoles


@pytest.fixture
def refusal(tmp_path):
    """The error of an upload."""

    def call(name, content, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InvalidInput) as refused:
            Store(tmp_path / "store").tables.upload(path, "ns/name", options=SourceOptions(**options))
        return refused.value

    return call


def parquet_bytes(**columns):
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("id,x,x\n1,2,3\n", {}),
        ("id,,x\n1,2,3\n", {}),
        ("sep=;\nid;x\n1;2\n", {}),
        ("id,x\n1,2\n1,3\n", {"roles": TableRoles(id="id")}),
        ("id,x\n1,2\n,3\n", {"roles": TableRoles(id="id")}),
        ("id,x\n1,2\n", {"roles": TableRoles(id="no")}),
        ("id,x\n1,2\n", {"roles": TableRoles(id="id", label="id")}),
        ("id,x\n1,a\n", {"roles": TableRoles(weight="x")}),
        ("id,x\n1,-1\n", {"roles": TableRoles(weight="x")}),
        ("id,x\n1,2\n", {"column_types": {"y": "int"}}),
        ("id,x\n1,2\n", {"drop": ("y",)}),
        ("id,x\n1,inf\n", {}),
        ("id,x", {}),
        ("", {}),
    ],
)
def test_every_fault_of_a_file_names_the_file(refusal, text, options):
    for name in ("data.csv", "a.b.csv.gz"):
        assert str(refusal(name, text, **options)).count(name) >= 1


def test_a_fault_found_in_the_process_that_reads_parquet_names_the_file_too(refusal):
    content = parquet_bytes(x=[1, 2], y=[1, 1])
    assert refusal("t.parquet", content, drop=("z",)).message.startswith("t.parquet: There is no column 'z'")


def test_the_line_that_excel_reads_first_is_called_what_it_is(refusal):
    for line in ("sep=;", "SEP=,", "\ufeffsep=\t\r"):
        error = refusal("excel.csv", f"{line}\nid;x\n1;2\n")
        assert "tells Excel what stands between fields" in error.message
        assert error.hint.startswith("Remove that line")


@pytest.mark.parametrize("text", ["[]", "null", "{}", '[\n  {"a": 1}\n]', '{"a": 1}\n{"a": 2}\n'])
@pytest.mark.parametrize("name", ["none.json", "none.jsonl", "none.ndjson"])
def test_json_is_called_json_and_nothing_else(refusal, name, text):
    error = refusal(name, text)
    assert error.message == f"{name} is JSON, not a CSV, Parquet or Arrow file. Nothing was stored."
    assert isinstance(error, BadSource)


def test_a_header_without_rows_and_without_the_end_of_its_line_has_no_rows(refusal):
    for text in ("id,x", "id,x\n", "\n\nid,x\r\n\r\n"):
        assert isinstance(refusal("t.csv", text), EmptySource)


@pytest.mark.parametrize("value", ["2024-03-01", "2024-03-01 10:00:00"])
def test_a_label_of_dates_or_times_is_refused_by_name(refusal, value):
    error = refusal("t.csv", f"x,y\n1,{value}\n", roles=TableRoles(label="y"))
    assert isinstance(error, ColumnTypeRefused)
    assert "t.csv: A label column holds numbers, or classes as whole numbers; 'y' holds" in error.message
    column = pa.array([value[:10]]).cast(pa.date32())
    assert isinstance(refusal("t.parquet", parquet_bytes(y=column), roles=TableRoles(label="y")), ColumnTypeRefused)
