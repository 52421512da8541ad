"""What people upload first: commas in numbers, yes and no, no header, nothing in a column; each is told what to do."""

from __future__ import annotations

import io
from datetime import date

import pyarrow as pa
import pytest
from pyarrow import parquet

from storage.client import (
    BadReference,
    BadRow,
    BadSource,
    DuplicateIds,
    InfiniteNumber,
    SourceOptions,
    Store,
    TableRef,
    TableRoles,
)

ID = TableRoles(id="id")


@pytest.fixture
def upload(tmp_path):
    """Write a file, upload it; the table and what was said of it."""
    store = Store(tmp_path / "store")

    def call(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        said: list[str] = []
        store.tables.upload(path, "ns/name", options=SourceOptions(**options), remark=said.append)
        return store.tables.open("ns/name").to_arrow(), said

    return call


def parquet_bytes(**columns):
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_a_column_of_decimal_commas_is_said_and_the_option_reads_it(upload):
    text = "id;x;word\n1;3,14;a\n2;-0,5;b,c\n3;7;d\n4;1,5e3;e\n"
    table, said = upload(text)
    assert table["x"].to_pylist() == ["3,14", "-0,5", "7", "1,5e3"]
    assert len(said) == 2
    assert "'word'" in said[1]
    assert "Column 'x' looks like numbers with a decimal comma" in said[0]
    assert "--decimal ','" in said[0]
    table, said = upload(text, decimal=",")
    assert table["x"].to_pylist() == [3.14, -0.5, 7, 1500]
    assert table["word"].to_pylist() == ["a", "b,c", "d", "e"]
    assert len(said) == 1
    assert upload(text, column_types={"x": "text", "word": "text"})[1] == []


def test_one_decimal_comma_among_numbers_is_refused_with_the_option_that_reads_it(upload):
    with pytest.raises(BadRow, match=r"line 4, column 'x': not a number: '5,5'.*--decimal ','"):
        upload("id;x\n1;3\n2;4\n3;5,5\n")


def test_faults_and_wider_columns_are_found_under_a_decimal_comma_too(upload):
    rows = [f"{i};{i};x" for i in range(120_000)]
    table, _ = upload("\n".join(["id;x;w", *rows, "120000;0,5;y"]), decimal=",", roles=ID)
    assert table["x"][120_000].as_py() == 0.5
    with pytest.raises(BadRow, match=r"line 4, column 'x': not a number: '5\.5'"):
        upload("id;x\n1;3,5\n2;4\n3;5.5\n", decimal=",")
    with pytest.raises(BadSource, match="cannot be the decimal sign"):
        upload("a;b\n1;2\n", decimal=";")


def test_yes_and_no_are_read_as_true_and_false_where_the_type_says_so(upload):
    text = "id,y\n1,Yes\n2,no\n3,y\n4,N\n5,TRUE\n6,\n"
    table, _ = upload(text, column_types={"y": "bool"})
    assert table["y"].to_pylist() == [True, False, True, False, True, None]
    with pytest.raises(BadRow, match=r"line 8, column 'y': not true or false: 'maybe'.*written true, yes, y or 1"):
        upload(text + "7,maybe\n", column_types={"y": "bool"})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_label_of_text_is_said_at_once(upload, form):
    content = b"x,y\n1,yes\n2,no\n" if form == "csv" else parquet_bytes(x=[1, 2], y=["yes", "no"])
    _, said = upload(content, f"data.{form}", roles=TableRoles(label="y"))
    assert len(said) == 1
    assert "The label column 'y' holds text" in said[0]
    assert "--type y=bool" in said[0]
    assert upload("x,y\n1,0\n2,1\n", roles=TableRoles(label="y"))[1] == []


def test_missing_numbers_are_counted_by_column_where_they_are_accepted(upload):
    text = "id,x,y,t\n1,0.5,1,\n2,,1,a\n3,,0,b\n4,2.5,,c\n"
    _, said = upload(text)[1]
    assert said.startswith("Numbers are missing: 2 in 'x', 1 in 'y', of 4 rows. No training takes a row without one")
    assert upload("id,x,t\n1,0.5,\n2,1.5,b\n", column_types={"t": "text"})[1] == []


def test_hints_about_dates_and_words_for_true_say_how_they_are_written(upload):
    with pytest.raises(BadRow, match=r"'01\.03\.2024'.*A date is written 2024-03-01"):
        upload("d\n01.03.2024\n", column_types={"d": "date"})
    with pytest.raises(BadRow, match=r"'ja'.*write 1 and 0 instead of other words"):
        upload("d\nja\n", column_types={"d": "bool"})


def test_hints_about_missing_values_name_all_of_them_and_no_real_value(upload):
    text = "x,w\n1,a\n?,b\nNA,c\n2,d\n3,e\n4,f\n"
    with pytest.raises(BadRow, match=r"not a number: '\?'.*--null '\?', which") as first:
        upload(text)
    with pytest.raises(BadRow, match=r"not a number: 'NA'.*--null '\?' --null NA, which"):
        upload(text, null_values=("?",))
    assert upload(text, null_values=("?", "NA"))[0]["x"].null_count == 2
    assert "Correct the value" not in first.value.hint
    with pytest.raises(BadRow, match=r"'12kg'.*Correct the value where the file is made") as real:
        upload("x\n1\n12kg\n3\n")
    assert "--null" not in real.value.hint
    with pytest.raises(BadRow, match=r"line 2, column 'x': not a number: ' NA'.*--null ' NA'"):
        upload("a,x\n1, NA\n2,3\n3,4\n")


def test_columns_without_any_value_are_said(upload):
    table, said = upload("a,gone,x,void\n1,,2,\n2,,3,\n")
    assert table.column_names == ["a", "gone", "x", "void"]
    assert said == ["Columns 'gone', 'void' have no value in any row; no training can use them. "
                    "To leave them out: --drop."]  # fmt: skip
    _, said = upload(parquet_bytes(a=[1, 2], b=pa.array([None, None], pa.float64())), "data.parquet")
    assert said == ["Column 'b' has no value in any row; no training can use it. To leave it out: --drop."]
    (gaps,) = upload("a,b\n" + "1,\n" * 300_000 + "2,7\n")[1]
    assert gaps.startswith("Numbers are missing: 300000 in 'b', of 300001 rows.")


def test_an_infinite_number_is_refused_with_its_row_and_column(upload):
    with pytest.raises(InfiniteNumber, match=r"Column 'x' has -inf in line 4 of data\.csv.*--null=-inf"):
        upload('a,x\n"p\nq",1\nr,-inf\n')
    with pytest.raises(InfiniteNumber, match=r"Column 'x' has inf in row 2 of data\.parquet") as refused:
        upload(parquet_bytes(x=[1.0, float("inf")]), "data.parquet")
    assert refused.value.hint.endswith("or keep the column as text: --type x=text.")
    assert upload("a,x\n1,inf\n2,3\n", null_values=("inf",))[0]["x"].to_pylist() == [None, 3]
    assert upload(parquet_bytes(x=[1.0, float("nan")]), "data.parquet")[0].num_rows == 2


def test_places_are_lines_of_a_csv_and_rows_of_other_files(upload):
    with pytest.raises(DuplicateIds, match=r"^Line 2 of data\.csv and line 6 of data\.csv both have the id 'a'"):
        upload('id,x\na,"two\nlines"\nb,w\n\na,v\n', roles=ID)
    with pytest.raises(DuplicateIds, match=r"^Line 3 of data\.csv has no id"):
        upload("id,x\na,1\n,2\n", roles=ID)
    with pytest.raises(DuplicateIds, match=r"^Row 1 of data\.parquet and row 3 of data\.parquet both have the id 5"):
        upload(parquet_bytes(id=[5, 6, 5]), "data.parquet", roles=ID)
    with pytest.raises(DuplicateIds, match=r"^Line 1 of data\.csv and line 3 of data\.csv both have"):
        upload("a,1\nb,2\na,3\n", no_header=True, columns=("id", "x"), roles=ID)


def test_a_file_without_names_is_read_where_that_is_said(upload):
    text = "2026-01-02,1.5\n2026-01-03,2\n"
    table, _ = upload(text, no_header=True)
    assert table.to_pydict() == {"column1": [date(2026, 1, 2), date(2026, 1, 3)], "column2": [1.5, 2.0]}
    table, _ = upload("\ufeff" + text, no_header=True, columns=("day", "x"), drop=("day",))
    assert table.to_pydict() == {"x": [1.5, 2.0]}
    with pytest.raises(BadSource, match="3 columns are named, the first line has 2 fields"):
        upload(text, no_header=True, columns=("a", "b", "c"))
    with pytest.raises(BadSource, match=r"Columns are named by the first line.*--no-header"):
        upload(text, columns=("a", "b"))
    with pytest.raises(BadRow, match=r"line 3: 1 fields where the first line has 2"):
        upload(text + "x\n", no_header=True)
    with pytest.raises(BadRow, match=r"line 3, column 'column2': not a number: 'oops'"):
        upload(text + "2026-01-04,oops\n", no_header=True)
    with pytest.raises(BadSource, match="for which nobody can give that there are no names"):
        upload(parquet_bytes(x=[1]), "data.parquet", no_header=True)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"PK\x03\x04" + bytes(30), "an Excel workbook or a zip archive"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'{"a": [1, 2]}', "JSON"),
        (b'[{"a": 1}]', "JSON"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0", "a Python pickle"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (bytes(range(200)), "no text: there are zero bytes at its start"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_table_is_called_by_its_name(upload, content, what):
    with pytest.raises(BadSource, match=rf"data\.csv is {what}") as caught:
        upload(content)
    assert caught.value.hint


def test_a_name_of_a_table_that_is_too_long_is_told_so():
    with pytest.raises(BadReference, match=r"too long for the name of a table: one part has 300 letters.*at most 200"):
        TableRef.parse("ns/" + "a" * 300)


@pytest.mark.parametrize("column", ["orchard", "ORC", "FEA1", "fea1", "gif8", "rar!", "PAR1", "ARROW1", "bzh", "pk"])
def test_a_first_column_may_be_called_as_another_format_begins(upload, column):
    table, _ = upload(f"{column},b\n1,2\n")
    assert table.column_names == [column, "b"]


def test_columns_that_no_training_takes_are_said_with_what_is_no_number(upload):
    text = 'id,when,value,word,day\n1,03.04.2021,-,a,2021-04-03\n2,04.04.2021,"1.234,5",b,2021-04-04\n'
    _, [when, value, day] = upload(text, roles=TableRoles(id="id"), column_types={"word": "text"})
    assert when == (
        "No training takes column 'when': it was stored as text, because of '03.04.2021' in line 2. "
        "Leave it out, --drop=when, or write numbers in it where the file is made."
    )
    assert "'value': it was stored as text, because of '-' in line 2." in value
    assert "'day': it was stored as dates." in day
    _, said = upload("\n".join([",".join(f"c{i}" for i in range(12)), ",".join("a" * 12)]))
    assert (len(said), said[-1]) == (11, "2 more columns are no numbers either.")
    _, [held] = upload(parquet_bytes(x=[1.5], name=["a"]), "t.parquet")
    assert held.startswith("No training takes column 'name': it was stored as text. ")


def test_a_missing_value_is_not_why_a_column_is_text(upload):
    _, [said] = upload("x\n\nNA\n7\nlow\nhigh\n")
    assert "because of 'low' in line 5" in said


def test_features_in_another_order_than_the_file_are_stored_in_that_order_whatever_its_format(upload):
    rows = {"age": [3, 4], "id": [1, 2], "bmi": [1.5, 2.5]}
    for content, name in ((parquet_bytes(**rows), "t.parquet"), ("age,id,bmi\n3,1,1.5\n4,2,2.5\n", "t.csv")):
        table, _ = upload(content, name, features=("bmi", "age"), roles=ID)
        assert table.to_pydict() == {"bmi": rows["bmi"], "id": rows["id"], "age": rows["age"]}


def test_a_quote_left_open_in_the_header_and_a_blank_in_a_name_are_called_what_they_are(upload):
    with pytest.raises(BadSource, match=r"name of column 2, 'b…', goes on over the end of its line.*double quote"):
        upload('a,"b\n1,2\n3,4\n')
    _, [said] = upload("a,x \n1,2\n")
    assert said.startswith("The name of column 'x ' begins or ends with a blank")
