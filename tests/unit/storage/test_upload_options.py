"""Files as data scientists have them: encodings, missing values, ids, indexes; what is odd and accepted is said."""

from __future__ import annotations

import gc
import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from storage.client import (
    BadColumnName,
    BadRow,
    BadSource,
    ColumnNotFound,
    DuplicateColumn,
    DuplicateIds,
    SourceOptions,
    Store,
    TableRoles,
)

ID = TableRoles(id="id")


@pytest.fixture
def upload(tmp_path):
    """Write a file, upload it; the table and what was said of it, but for columns that are no numbers."""
    store = Store(tmp_path / "store")

    def call(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        said: list[str] = []
        how = SourceOptions(**options)
        store.tables.upload(path, "ns/name", options=how, remark=said.append)
        return store.tables.open("ns/name"), [each for each in said if not each.startswith("No training takes")]

    return call


def test_ids_of_many_digits_are_kept_as_they_stand(upload):
    ids = ["89860012345678901234", "89860012345678901235", "00000000000000000001"]
    for some in (ids, ids[:2], ["1234567890123456", "7"], ["123456789012345678901234", "-1"]):
        text = "id,x\n" + "".join(f"{name},1\n" for name in some)
        assert upload(text, roles=ID)[0].ids().to_pylist() == some
    table, _ = upload("id,x\n123456789012345,1\n7,2\n", roles=ID)
    assert table.ids().to_pylist() == [123456789012345, 7]


def test_an_id_that_proves_long_only_far_into_the_file_is_kept(upload):
    rows = [f"{i},1" for i in range(200_000)] + ["89860012345678901234,1"]
    table, _ = upload("\n".join(["id,x", *rows]), roles=ID)
    assert table.ids()[200_000].as_py() == "89860012345678901234"
    assert table.ids()[7].as_py() == "7"


def test_the_type_of_an_id_can_be_given(upload):
    assert upload("id,x\n007,1\n", roles=ID, column_types={"id": "int"})[0].ids().to_pylist() == [7]
    assert upload("id,x\n7,1\n", roles=ID, column_types={"id": "text"})[0].ids().to_pylist() == ["7"]
    assert upload("id,x\n0.5,1\n", roles=ID, column_types={"id": "text"})[0].ids().to_pylist() == ["0.5"]


def test_whole_numbers_that_are_rounded_are_said(upload):
    _, said = upload("sim,x\n89860012345678901234,1\n")
    assert said == [
        "Column 'sim' holds numbers of too many digits, which were rounded, first 89860012345678901234 in line 2; "
        "to keep every digit give its type: --type sim=text."
    ]


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "utf-16", "utf-8", "cp1252", "shift_jis", "utf-16-le"])
def test_a_file_of_any_encoding_is_read_if_it_is_named(upload, encoding):
    word = {"gbk": "病人", "shift_jis": "患者"}.get(encoding, "Größe")
    text = f"id,{word}\n" + "".join(f"{i},{word}{i}\n" for i in range(60_000))
    table, said = upload(text.encode(encoding), roles=ID, encoding=encoding)
    assert table.column(word)[59_999] == f"{word}59999"
    assert said == []


def test_a_file_in_utf_16_is_known_by_its_first_bytes(upload):
    table, said = upload("a,b\n1,ü\n".encode("utf-16"))
    assert table.column("b").tolist() == ["ü"]
    assert said == ["The text was read as utf-16, since its first bytes say so."]


def test_text_in_another_encoding_is_refused_with_the_option_that_helps(upload):
    with pytest.raises(BadRow, match=r"line 2, column 'b': not UTF-8 text.*--encoding latin-1, gbk or utf-16"):
        upload("a,b\n1,Größe\n".encode("latin-1"))
    with pytest.raises(BadRow, match=r"line 3: not text in gbk"):
        upload(b"a,b\n1,x\n2,\xff\xff\n", encoding="gbk")
    for wrong in ("klingon", "base64", "idna", "unicode_escape"):
        with pytest.raises(BadSource, match=f"'{wrong}' is not an encoding of text files"):
            upload("a,b\n1,2\n", encoding=wrong)


def test_delimiters_can_be_given(upload):
    assert upload("a:b\n1:2\n", delimiter=":")[0].features == ["a", "b"]
    assert upload("a,x\tb\n1\t2\n", delimiter="tab")[0].features == ["a,x", "b"]
    with pytest.raises(BadRow, match=r"1 fields where the header has 2.*--delimiter ';', or tab"):
        upload("ham:Yes, he did\nham:Ok\n")
    with pytest.raises(BadColumnName, match=r"column 1 has a control character.*--delimiter tab"):
        upload("ham\tYes, he did\nham\tOk\n")
    with pytest.raises(BadSource, match=r"cannot be the delimiter"):
        upload("a,b\n1,2\n", delimiter="::")


def test_texts_that_mean_missing_can_be_given(upload):
    content = "x,word\n1,?\n?,b\n2,\n-9,NA\n"
    table, _ = upload(content, null_values=("?", "-9"))
    assert table.to_arrow().column("x").to_pylist() == [1, None, 2, None]
    assert table.to_arrow().column("word").to_pylist() == [None, "b", None, "NA"]
    with pytest.raises(BadRow, match=r"line 3, column 'x': not a number: '\?'.*--null '\?'.*--type x=text"):
        upload(content)


def test_columns_are_chosen(upload):
    text = "id,a,b,bad,y,w,m\n1,2,3,x,0,1,a\n2,3,4,1,1,2,b\n"
    own = {"roles": TableRoles(id="id", label="y", weight="w", match_id="m")}
    assert upload(text, features=("b",), **own)[0].to_arrow().column_names == ["id", "b", "y", "w", "m"]
    assert upload(text, drop=("bad", "a"), **own)[0].to_arrow().column_names == ["id", "b", "y", "w", "m"]
    assert upload(text, features=("b", "y", "a"), **own)[0].to_arrow().column_names == ["id", "b", "a", "y", "w", "m"]
    with pytest.raises(ColumnNotFound, match=r"'bb' \(one of the features\). Did you mean 'b'"):
        upload(text, features=("bb",), **own)
    with pytest.raises(ColumnNotFound, match=r"'zz' \(to be dropped\)"):
        upload(text, drop=("zz",), **own)
    for column, role in (("y", "label"), ("w", "weight"), ("m", "match id")):
        with pytest.raises(BadSource, match=f"'{column}' cannot be dropped: it is the {role}"):
            upload(text, drop=(column,), **own)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_columns_and_types_are_chosen_in_other_formats_too(upload, form):
    table = pa.table({"id": [1, 2], "a": [[1.0], [2.0]], "b": [1, 2], "y": [0, 1]})
    sink = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, sink)
    else:
        with ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    found, _ = upload(sink.getvalue(), f"data.{form}", roles=ID, drop=("a",), column_types={"b": "text"})
    assert found.to_arrow().to_pydict() == {"id": [1, 2], "b": ["1", "2"], "y": [0, 1]}
    with pytest.raises(BadSource, match=f"is {form}, for which nobody can give an encoding"):
        upload(sink.getvalue(), f"data.{form}", encoding="gbk")


def test_content_counts_more_than_the_name(upload):
    sink = io.BytesIO()
    parquet.write_table(pa.table({"x": [1]}), sink)
    assert upload(sink.getvalue(), "data.csv")[0].rows == 1
    assert upload(gzip.compress(b"x\n1\n"), "data.csv")[0].rows == 1
    assert upload(b"x\n1\n", "data.csv.gz")[0].rows == 1
    with pytest.raises(BadSource, match=r"does not begin as a Parquet file.*ends with .csv"):
        upload("a,b\n1,2\n", "data.parquet")
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    for name in ("book.xlsx", "book.csv"):
        with pytest.raises(BadSource, match=f"{name} is an Excel workbook or a zip archive.*Save the sheet as CSV"):
            upload(book.getvalue(), name)


def test_rows_without_label_are_counted_and_said(upload):
    assert upload("id,y\n1,0\n2,\n3,1\n4,\n5,\n", roles=TableRoles(id="id", label="y"))[1] == [
        "3 rows have no label (column 'y')."
    ]
    assert upload("id,y\n1,3\n2,\n", roles=TableRoles(label="y"))[1] == ["1 row has no label (column 'y')."]
    assert upload("id,y\n1,0\n2,1\n", roles=TableRoles(label="y"))[1] == []


def test_a_row_without_id_and_an_id_that_is_the_label_are_refused(upload):
    for text in ("id,x\na,1\n,2\n", "id,x\n1,1\n,2\n"):
        with pytest.raises(DuplicateIds, match=r"Line 3 of data\.csv has no id"):
            upload(text, roles=ID)
    with pytest.raises(BadSource, match=r"'y' cannot be both the id and the label"):
        upload("y,x\n1,2\n", roles=TableRoles(id="y", label="y"))


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_index_that_pandas_wrote_is_left_out_and_said(upload, name):
    table, said = upload(f"{name},a,b\n0,5,6\n1,7,8\n")
    assert table.to_arrow().column_names == ["a", "b"]
    assert "counts the rows, as pandas writes its index; it was left out" in said[0]
    assert upload(f"{name or 'k'},a\n5,6\n7,8\n")[0].features == [name or "k", "a"]
    if name:
        assert upload(f"{name},a\n0,6\n1,8\n", roles=TableRoles(id=name))[0].ids().to_pylist() == [0, 1]
    else:
        with pytest.raises(DuplicateColumn, match=r"Column 1 has no name.*index of pandas.*index=False"):
            upload(",a\np,5\nq,6\n")


def test_a_file_without_names_is_told_from_one_with_names(upload):
    with pytest.raises(DuplicateColumn, match=r"looks like values: put a line with the columns' names before it"):
        upload("63.0,1.0,1.0,145.0\n67.0,1.0,4.0,160.0\n")


def test_an_upload_lets_go_of_its_file_at_once(upload, tmp_path):
    def still_open():
        return [name for fd in Path("/proc/self/fd").iterdir() if (name := target(fd)) and "data." in name]

    def target(fd):
        try:
            return str(fd.readlink())
        except OSError:
            return None

    gc.collect()
    gc.disable()
    try:
        upload("id,x\n" + "".join(f"{i},{i}\n" for i in range(300_000)), roles=ID)
        assert still_open() == []
        for wrong in ("id,x\n1,2\n1,3\n", "id,x\n1,a\n2,3\n3,4\n", "id,x\n1,2,3\n", 'id,x\n1,"a\n'):
            with pytest.raises(BadSource):
                upload(wrong, roles=ID)
            assert still_open() == []
        sink = io.BytesIO()
        parquet.write_table(pa.table({"id": [1, 1]}), sink)
        with pytest.raises(DuplicateIds):
            upload(sink.getvalue(), "data.parquet", roles=ID)
        assert still_open() == []
    finally:
        gc.enable()
