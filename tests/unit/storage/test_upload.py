"""Files become tables, or an error that says which line is wrong; never half a table."""

from __future__ import annotations

import bz2
import gzip
import io
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from storage.client import (
    NO_ROLES,
    BadRow,
    BadSource,
    ColumnNotFound,
    ColumnTypeRefused,
    DuplicateColumn,
    DuplicateIds,
    EmptySource,
    SourceNotFound,
    SourceOptions,
    Store,
    TableRoles,
)

ID = TableRoles(id="id")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def upload(store, tmp_path):
    """Write a file, upload it, open the table; after an error nothing may be registered or left behind."""

    def call(content, name="data.csv", *, roles=NO_ROLES, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            store.tables.upload(path, "ns/name", **{"options": SourceOptions(roles=roles)} | options)
        except Exception:
            assert store.tables.list() == []
            assert list((tmp_path / "store").rglob("part-*")) == []
            assert list((tmp_path / "store").rglob("*.lock")) == []
            raise
        return store.tables.open("ns/name")

    return call


def types(table):
    return [column.type for column in table.manifest.columns]


def test_a_csv_becomes_a_table_with_guessed_types(upload):
    table = upload(
        'id,n,x,flag,day,at,note,gone\np1,1,0.5,true,2026-01-02,2026-01-02 03:04:05,"a, ""b""",\np2,,1e3,false,,,NA,\n',
        roles=TableRoles(id="id", label="flag"),
        owner="ann",
    )
    assert types(table) == ["string", "int64", "double", "bool", "date32[day]", "timestamp[us]", "string", "double"]
    assert table.to_arrow().column("note").to_pylist() == ['a, "b"', "NA"]
    assert table.to_arrow().column("day").to_pylist() == [date(2026, 1, 2), None]
    assert table.manifest.owner == "ann"
    assert table.features == ["n", "x", "day", "at", "note", "gone"]
    np.testing.assert_array_equal(table.column("n"), [1, np.nan])


def test_an_empty_table_of_every_type_opens(store):
    schema = pa.schema(
        [("a", pa.bool_()), ("b", pa.date32()), ("c", pa.timestamp("us", "UTC")), ("d", pa.string()),
         ("e", pa.binary()), ("f", pa.float32()), ("g", pa.timestamp("ms"))]
    )  # fmt: skip
    with store.tables.writer("ns/name", schema):
        pass
    table = store.tables.open("ns/name")
    assert table.rows == 0
    assert table.to_arrow().schema.field("c").type == pa.timestamp("us", "UTC")
    assert table.matrix(["f"]).shape == (0, 1)


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("a,b\n1,2\n3,oops\n", 3, "b", "not a number: 'oops'"),
        ("a,b\n1,2\n3\n", 3, None, "1 fields where the header has 2: '3'"),
        ("a,b\n1,2\n3,4,5\n", 3, None, "3 fields where the header has 2: '3,4,5'"),
        ('a,b\n1,"x\ny\nz"\n2,w\n3\n', 6, None, "1 fields"),
        ('a,b\n"1\n",x\n\n\nno,y\n', 6, "a", "not a number: 'no'"),
        ('a,b\n1,x\n2,"y\n3,z\n', 3, None, "cannot be read (unexpected end of data): '2,\"y'"),
        ("a,b\r\n1,2\r\n3,x\r\n", 3, "b", "not a number: 'x'"),
    ],
)
def test_a_bad_line_is_reported_with_its_line_and_column(upload, text, line, column, says):
    with pytest.raises(BadRow) as caught:
        upload(text)
    assert (caught.value.line, caught.value.column, caught.value.file) == (line, column, "data.csv")
    assert says in str(caught.value)
    assert "Nothing was stored" in str(caught.value)


def test_a_bad_line_far_into_a_file_is_found(upload):
    lines = ["id,x", *(f"{i},{i}.5" for i in range(90_000)), "90000,1.2x", "90001,5"]
    with pytest.raises(BadRow, match=r"data\.csv, line 90002, column 'x': not a number: '1\.2x'"):
        upload("\n".join(lines), roles=ID)


def test_a_column_that_proves_wider_later_is_read_again(upload):
    rows = [f"{i},{i},2026-01-01,{''},true" for i in range(60_000)]
    rows += ["A7,0.5,2026-01-01 10:00:00,late,false"]
    table = upload("\n".join(["id,n,day,gone,flag", *rows]), roles=ID)
    assert types(table) == ["string", "double", "timestamp[us]", "string", "bool"]
    assert table.rows == 60_001
    assert table.ids()[60_000].as_py() == "A7"
    assert table.column("n")[-2:].tolist() == [59_999, 0.5]


def test_ids_keep_their_leading_zeros(upload):
    table = upload("id,x\n007,1\n8,2\n", roles=ID)
    assert table.ids().to_pylist() == ["007", "8"]


def test_types_can_be_given(upload):
    options = SourceOptions(column_types={"code": "text", "x": "float"})
    table = upload("code,x\n01,1\n02,2\nV3,3\n", options=options)
    assert table.column("code").tolist() == ["01", "02", "V3"]
    assert table.column("x").dtype == np.float64


def test_a_given_type_is_not_widened_and_unknown_ones_are_refused(upload):
    with pytest.raises(BadRow, match=r"line 2, column 'x': not a whole number: '1\.5'"):
        upload("x\n1.5\n", options=SourceOptions(column_types={"x": "int"}))
    with pytest.raises(BadSource, match="Did you mean 'float'"):
        upload("x\n1.5\n", options=SourceOptions(column_types={"x": "flaot"}))
    with pytest.raises(ColumnNotFound, match="whose type is given"):
        upload("x\n1.5\n", options=SourceOptions(column_types={"y": "int"}))


@pytest.mark.parametrize(("sign", "name"), [(";", "data.csv"), ("\t", "data.tsv"), ("|", "data.txt")])
def test_the_delimiter_is_taken_from_the_header(upload, sign, name):
    assert upload(f"a{sign}b\n1{sign}2\n", name).column("b").tolist() == [2]


def test_a_byte_order_mark_and_quoted_names_are_understood(upload):
    table = upload(b'\xef\xbb\xbf"first, name",b\n"x\ny",2\n')
    assert table.features == ["first, name", "b"]
    assert table.column("first, name").tolist() == ["x\ny"]


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("", EmptySource, "is empty"),
        ("\n\n", EmptySource, "is empty"),
        ("a,b\n", EmptySource, "header but no rows"),
        ("a,b,a\n1,2,3\n", DuplicateColumn, "named 'a'"),
        ("a,,c\n1,2,3\n", DuplicateColumn, "Column 2 has no name"),
        (b"a,b\n1,caf\xe9\n", BadRow, "line 2, column 'b': not UTF-8"),
        (b"caf\xe9,b\n1,2\n", BadRow, "line 1: not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(upload, content, error, says):
    with pytest.raises(error, match=says):
        upload(content)


def test_a_missing_id_or_label_column_is_named_with_the_nearest_one(upload):
    with pytest.raises(ColumnNotFound, match=r"'patient' \(the id column\)\. Did you mean 'patients'"):
        upload("patients,y\n1,2\n", roles=TableRoles(id="patient"))
    with pytest.raises(ColumnNotFound, match=r"'z' \(the label column\)\. There are: a, y"):
        upload("a,y\n1,2\n", roles=TableRoles(label="z"))


@pytest.mark.parametrize("ids", [["b", "a", "c", "a"], [5, 6, 7, 6]])
def test_two_rows_of_one_id_are_refused(upload, store, tmp_path, ids):
    text = "id,x\n" + "".join(f"{name},1\n" for name in ids)
    with pytest.raises(
        DuplicateIds, match=r"Line 3 of data\.csv and line 5 of data\.csv both have the id .* in column 'id'"
    ):
        upload(text, roles=ID, partition_rows=2)


def test_many_different_ids_of_many_lengths_are_accepted(upload):
    text = "id,x\n" + "".join(f"{'z' * (i % 40)}{i},1\n" for i in range(20_000))
    assert upload(text, roles=ID).rows == 20_000


def test_an_id_that_is_missing_or_a_float_is_refused(upload):
    with pytest.raises(DuplicateIds, match=r"Row 2 of data\.arrow has no id"):
        upload(to_bytes(pa.table({"id": ["a", None]})), "data.arrow", roles=ID)
    with pytest.raises(ColumnTypeRefused, match="text or whole numbers"):
        upload("id,x\n0.5,1\n", roles=ID)


def to_bytes(table, *, stream=False, **options):
    sink = io.BytesIO()
    with (ipc.new_stream if stream else ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, **options)
    return sink.getvalue()


def parquet_bytes(table):
    sink = io.BytesIO()
    parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue()


TABLE = pa.table({"id": [1, 2, 3], "x": [0.5, None, 2.0], "t": ["a", "b", "ü"]})
CSV = "id,x,t\n1,0.5,a\n2,,b\n3,2.0,ü\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", CSV.encode()),
        ("data.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("data.csv.bz2", bz2.compress(CSV.encode())),
        ("data.parquet", parquet_bytes(TABLE)),
        ("data.arrow", to_bytes(TABLE, max_chunksize=2)),
        ("data.arrows", to_bytes(TABLE, stream=True)),
        ("no-suffix-parquet", parquet_bytes(TABLE)),
        ("no-suffix-arrow", to_bytes(TABLE)),
        ("no-suffix-stream", to_bytes(TABLE, stream=True)),
        ("no-suffix-csv", CSV.encode()),
        (
            "other-types.parquet",
            parquet_bytes(
                TABLE.set_column(0, "id", TABLE["id"].cast(pa.uint8()))
                .set_column(2, "t", TABLE["t"].dictionary_encode())
                .set_column(1, "x", TABLE["x"].cast(pa.float32()))
            ),
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_digest_does_not_depend_on_the_format_of_the_source(upload, name, content):
    seen = []
    table = upload(content, name, roles=ID, progress=lambda done, total: seen.append((done, total)))
    assert table.manifest.digest == "c010fd4f78c96c7f13abd711af681b7c10d9e3ecfd8f9b476a10b7e28391701a"
    assert table.to_arrow().column("t").to_pylist() == ["a", "b", "ü"]
    assert seen[-1] == (len(content), len(content))


def test_an_open_file_can_be_uploaded_even_if_it_cannot_seek(store):
    class Pipe(io.RawIOBase):
        left = gzip.compress(CSV.encode())

        def readable(self):
            return True

        def read(self, size=-1):
            data, self.left = self.left[:7], self.left[7:]
            return data

    manifest = store.tables.upload(Pipe(), "ns/name", format="csv", options=SourceOptions(roles=ID))
    assert manifest.rows == 3
    manifest = store.tables.upload(io.BytesIO(parquet_bytes(TABLE)), "ns/name", format="parquet")
    assert manifest.version == 2


def test_a_uri_can_be_uploaded(store, tmp_path):
    (tmp_path / "x.csv").write_text(CSV)
    assert store.tables.upload(f"file://{tmp_path}/x.csv", "ns/name").rows == 3
    with pytest.raises(BadSource):
        store.tables.upload("nosuch://host/x.csv", "ns/name")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.parquet", parquet_bytes(TABLE)[:-30]),
        ("data.parquet", b"PAR1"),
        ("data.arrow", to_bytes(TABLE)[:-200]),
        ("data.arrow", b"hello"),
        ("data.arrows", to_bytes(TABLE, stream=True)[:-100]),
        ("data.csv.gz", gzip.compress(CSV.encode() * 99, mtime=0)[:-40]),
    ],
)
def test_a_cut_or_wrong_file_is_refused(upload, name, content):
    with pytest.raises(BadSource, match="data"):
        upload(content, name)


def test_files_without_rows_or_of_types_a_table_cannot_hold_are_refused(upload):
    for content, name in ((parquet_bytes(TABLE.slice(0, 0)), "a.parquet"), (to_bytes(TABLE.slice(0, 0)), "a.arrow")):
        with pytest.raises(EmptySource, match="has no rows"):
            upload(content, name)
    with pytest.raises(ColumnTypeRefused, match="Column 'v' has type list"):
        upload(parquet_bytes(pa.table({"v": [[1]]})), "a.parquet")


def test_a_file_that_is_not_there_or_of_an_unknown_format_is_refused(store, tmp_path):
    with pytest.raises(SourceNotFound, match="does not exist"):
        store.tables.upload(tmp_path / "none.csv", "ns/name")
    with pytest.raises(SourceNotFound, match="is a folder"):
        store.tables.upload(tmp_path, "ns/name")
    (tmp_path / "x.csv").write_text(CSV)
    with pytest.raises(BadSource, match="Did you mean 'parquet'"):
        store.tables.upload(tmp_path / "x.csv", "ns/name", format="parket")


def test_an_integer_too_large_for_a_table_is_refused(upload):
    from storage.client import TableSchemaMismatch

    with pytest.raises(TableSchemaMismatch, match="Column 'n' does not fit int64"):
        upload(to_bytes(pa.table({"n": pa.array([2**64 - 1], pa.uint64())})), "data.arrow")
