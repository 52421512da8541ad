"""Files that would cost much or mislead: too many columns, fields without end, names that a terminal obeys."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from party.ids import Address, AttemptId
from runtime.clock import SystemClock
from storage.client import NO_ROLES, BadColumnName, BadRow, BadSource, OutputKind, OutputRefused, Store, TooManyColumns
from storage.columns.types import MAX_COLUMNS, MAX_NAME_CHARS
from storage.intake.csv_faults import MAX_FIELD_BYTES
from storage.intake.csv_source import CsvReading
from storage.intake.source_options import SourceOptions
from storage.intake.sources import raw_file


@pytest.fixture
def upload(tmp_path):
    """Write a file, upload it; after an error nothing may be registered."""
    store = Store(tmp_path / "store")

    def call(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            store.tables.upload(path, "ns/name", options=SourceOptions(**options))
        except Exception:
            assert store.tables.list() == []
            raise
        return store.tables.open("ns/name")

    return call


def as_bytes(table, form):
    sink = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, sink)
    else:
        with ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def test_more_columns_than_a_table_may_have_are_refused_from_the_header_alone(upload, tmp_path, monkeypatch):
    names = [f"c{i}" for i in range(MAX_COLUMNS + 1)]
    text = ",".join(names) + "\n" + ",".join("1" * len(names)) + "\n"
    (tmp_path / "wide.csv").write_text(text)
    monkeypatch.setattr(CsvReading, "_guess", lambda _: pytest.fail("rows were looked at"))
    with pytest.raises(TooManyColumns, match=r"has 10001 columns; a table has at most 10000"):
        CsvReading(raw_file(str(tmp_path / "wide.csv")), SourceOptions())


def test_more_columns_than_a_table_may_have_are_refused_in_other_formats_too(upload):
    table = pa.table({f"c{i}": [1] for i in range(MAX_COLUMNS + 1)})
    with pytest.raises(TooManyColumns, match="10001 columns; a table has at most 10000"):
        upload(as_bytes(table, "arrow"), "data.arrow")


def test_a_field_that_is_too_long_is_named_with_its_line_its_column_and_the_limit(upload):
    long = "x" * (MAX_FIELD_BYTES + 1)
    limit = csv.field_size_limit()
    for rows_before in (0, 3, 500):
        text = "a,note\n" + "1,short\n" * rows_before + f"2,{long}\n3,short\n"
        with pytest.raises(BadRow, match="a field of more than 131072 bytes") as caught:
            upload(text)
        assert (caught.value.line, caught.value.column) == (rows_before + 2, "note")
        assert len(caught.value.message) < 400
    assert csv.field_size_limit() == limit


def test_a_field_that_is_too_long_among_numbers_or_in_the_header_is_refused(upload):
    with pytest.raises(BadRow, match="a field of more than 131072 bytes") as caught:
        upload(f"a,b\n1,2\n3,{'x' * (MAX_FIELD_BYTES + 1)}\n4,5\n")
    assert (caught.value.line, caught.value.column) == (3, "b")
    with pytest.raises(BadSource, match="a column has a name of more than 1000 characters"):
        upload(f"a,{'b' * (MAX_FIELD_BYTES + 1)}\n1,2\n")
    with pytest.raises(BadColumnName, match="column 2 has a name of more than 1000 characters"):
        upload(f"a,{'b' * (MAX_NAME_CHARS + 1)}\n1,2\n")


def test_a_field_of_the_longest_size_is_taken(upload):
    longest = "x" * MAX_FIELD_BYTES
    assert upload(f"a,note\n1,{longest}\n").column("note")[0] == longest


def test_a_long_field_of_a_column_that_is_left_out_does_no_harm(upload):
    assert upload(f"a,note\n1,{'x' * (MAX_FIELD_BYTES + 9)}\n", drop=("note",)).rows == 1


def test_a_row_longer_than_a_block_is_named(upload):
    row = ",".join(["x" * 100_000] * 30)
    with pytest.raises(BadRow, match="a row of more than 1048576 bytes") as caught:
        upload(",".join(f"c{i}" for i in range(30)) + f"\n{','.join('y' * 30)}\n{row}\n")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("csv", "a\u202eb"),
        ("csv", "\u2066x"),
        ("csv", "a\x7f"),
        ("csv", "a\u200fb"),
        ("parquet", "a\x1b[2J"),
        ("arrow", "a\x1b[2J"),
    ],
)
def test_a_column_name_that_a_terminal_would_obey_is_refused_with_its_number(upload, form, name):
    content = f'ok,"{name}"\n1,2\n'.encode() if form == "csv" else as_bytes(pa.table({"ok": [1], name: [2]}), form)
    with pytest.raises(BadColumnName, match=r"column 2 has a control character in its name, '.*\ufffd.*'") as caught:
        upload(content, f"data.{form}")
    assert "Rename the column" in caught.value.hint


def test_what_an_executor_staged_under_such_names_is_not_published(tmp_path):
    store = Store(tmp_path / "store", clock=SystemClock())
    attempt, address = AttemptId("01JD0000000000000000000000", "task", 1), Address.parse("guest:bank")
    staged = store.staging.outputs(attempt, address)
    with pytest.raises(BadColumnName):
        staged.table_writer("data", pa.schema([("a\x1b[2J", pa.int64())]), NO_ROLES)
    with staged.table_writer("data", pa.schema([("honest", pa.int64())]), NO_ROLES) as writer:
        writer.write(pa.table({"honest": [1]}))
    manifest = next((tmp_path / "store").rglob("manifest.json"))
    manifest.write_text(manifest.read_text().replace("honest", "a\\u001b[2J"))
    with pytest.raises(OutputRefused, match="column 1 has a control character"):
        store.staging.publish(attempt.job, attempt.task, 1, {str(address): {"data": OutputKind.TABLE}})


def test_a_message_about_many_equal_names_is_short(upload):
    with pytest.raises(BadSource, match=r"named 'c0', 'c1'.*and 490 more") as caught:
        upload(",".join([f"c{i}" for i in range(500)] * 2) + "\n" + ",".join("1" * 1000) + "\n")
    assert len(caught.value.message) < 300
