"""What an upload cannot keep as it stands is told or refused, whatever the format: digits, zeros, times, zones."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from storage.client import BadRow, BadSource, InfiniteNumber, SourceOptions, Store, TableRoles, TableSchemaMismatch
from storage.columns.types import normal_table
from storage.intake.csv_losses import ZeroSign

LONG = "12345678901234567890.12"
MIDNIGHT = datetime.fromisoformat("2024-01-01")
THREE = datetime.fromisoformat("2024-01-01T03:00")


@pytest.fixture
def upload(tmp_path):
    """Write a file, upload it; the table and what was said of it, but for columns that are no numbers."""
    store = Store(tmp_path / "store")

    def call(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        said: list[str] = []
        store.tables.upload(path, "ns/name", options=SourceOptions(**options), remark=said.append)
        return store.tables.open("ns/name").to_arrow(), [
            each for each in said if not each.startswith("No training takes")
        ]

    return call


def as_file(form, **columns):
    sink, table = io.BytesIO(), pa.table(columns)
    if form == "parquet":
        parquet.write_table(table, sink)
    else:
        with ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_decimals_that_are_rounded_are_said_with_their_row_and_kept_as_text_where_that_is_asked(upload, form):
    values = pa.array([Decimal("1.50"), None, Decimal(LONG)], pa.decimal128(30, 2))
    table, said = upload(as_file(form, d=values), f"data.{form}")
    assert table["d"].to_pylist() == [1.5, None, 12345678901234567000.0]
    assert said[0] == (
        f"Column 'd' holds numbers of too many digits, which were rounded, first {LONG} in row 3; "
        "to keep every digit give its type: --type d=text."
    )
    table, said = upload(as_file(form, d=values), f"data.{form}", column_types={"d": "text"})
    assert (table["d"].to_pylist(), said) == (["1.50", None, LONG], [])


@pytest.mark.parametrize("kind", [pa.decimal128(38, 20), pa.decimal256(70, 25), pa.decimal128(15, 2)])
def test_decimals_that_a_float_holds_are_stored_without_a_word(upload, kind):
    values = [Decimal(text) for text in ("0.1", "-3.25", "0", "123456.07")]
    values = [v.quantize(Decimal("0.01")) for v in values]
    table, said = upload(as_file("parquet", d=pa.array(values, kind)), "data.parquet")
    assert (table["d"].to_pylist(), said) == ([0.1, -3.25, 0.0, 123456.07], [])


def test_texts_and_dictionaries_that_become_rounded_numbers_are_said(upload):
    columns = {"t": [LONG, "0.1"], "x": [1, 2]}
    _, said = upload(as_file("parquet", **columns), "data.parquet", column_types={"t": "float"})
    assert "'t'" in said[0]
    assert LONG in said[0]
    words = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([Decimal(LONG)], pa.decimal128(30, 2)))
    _, said = upload(as_file("arrow", d=words), "data.arrow")
    assert "row 1" in said[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([0, 1, 2]), "bool"),
        (pa.array([0.0, 0.5]), "bool"),
        (pa.array([MIDNIGHT, THREE]), "date"),
        (pa.array([THREE], pa.timestamp("us", "Europe/Berlin")), "date"),
        (pa.array([2**53 + 1]), "float"),
        (pa.array([2**64 - 1], pa.uint64()), "int"),
        (pa.array([1.5]), "int"),
        (pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")), "timestamp"),
        (pa.array([date(2024, 1, 1)]), "float"),
    ],
)
def test_what_a_given_type_would_lose_is_refused_and_text_keeps_it(upload, values, kind):
    with pytest.raises(TableSchemaMismatch, match="does not fit") as refused:
        upload(as_file("parquet", x=values), "data.parquet", column_types={"x": kind})
    assert "--type x=text" in refused.value.hint
    table, _ = upload(as_file("parquet", x=values), "data.parquet", column_types={"x": "text"})
    assert len(set(table["x"].to_pylist())) == len(values)


def test_what_a_given_type_holds_is_taken(upload):
    midnights = pa.array([MIDNIGHT, None])
    table, said = upload(as_file("arrow", b=[0, 1], d=midnights), column_types={"b": "bool", "d": "date"})
    assert table.to_pydict() == {"b": [False, True], "d": [date(2024, 1, 1), None]}
    assert said == []


def test_a_zone_that_is_left_out_is_said(upload):
    times = pa.array([THREE], pa.timestamp("us", "Europe/Berlin"))
    _, said = upload(as_file("parquet", x=times), "data.parquet", column_types={"x": "timestamp"})
    assert said == ["Column 'x' has times of the zone Europe/Berlin, which were stored as UTC."]


def test_a_component_cannot_write_decimals_that_would_be_rounded():
    rows = pa.table({"d": pa.array([Decimal(LONG)], pa.decimal128(30, 2))})
    with pytest.raises(TableSchemaMismatch, match="would be rounded"):
        normal_table(rows, pa.schema([("d", pa.float64())]))


def test_long_numbers_of_a_csv_are_said_wherever_they_stand(upload):
    filler = "1,2,a\n" * 300_000  # more than one block
    _, said = upload(f"x,y,z\n{filler}0.5,{LONG},a\n12345678901234567,1e300,b\n")
    assert [
        (f"'{name}'" in one, f"line {line}" in one)
        for one, name, line in zip(said, "xy", (300_003, 300_002), strict=True)
    ] == [(True, True)] * 2
    assert upload("x\n1e300\n-100000000000000000000\n0.10000000000000001\n0.10000000000000000555\n")[1] == []
    assert "first 12345678901234567890,5" in upload("x;y\n12345678901234567890,5;1\n", decimal=",")[1][0]


def test_leading_zeros_that_are_dropped_are_said_with_their_line(upload):
    table, said = upload("id,zip,y\n1,01234,0\n2,99999,1\n", roles=TableRoles(id="id"))
    assert table["zip"].to_pylist() == [1234, 99999]
    assert said == [
        "Column 'zip' was stored as numbers, without the leading zeros of its values, first 01234 in line 2; "
        "to keep them give its type: --type zip=text."
    ]
    assert upload("id,zip\n1,01234\n", column_types={"zip": "text"})[0]["zip"].to_pylist() == ["01234"]


def test_leading_zeros_are_found_far_into_a_file_in_quotes_and_in_any_encoding(upload):
    filler = "1,2,0\n" * 400_000
    _, said = upload(f'a,b,c\n{filler}7,"007",0.5\n')
    assert ["'b'" in said[0], "line 400002" in said[0], len(said)] == [True, True, 1]
    _, said = upload("a;b\n1;00,5\n".encode("utf-16"), decimal=",")
    assert "'b'" in said[-1]


def test_zeros_that_lead_nothing_and_types_that_were_given_are_no_remark(upload):
    assert upload("a,b,c,d\n0,0.05,1e-05,2024-01-05\n-0,10.0,1e05,2024-02-01\n")[1] == []
    assert upload("a,b\n1,01\n", column_types={"b": "int"})[1] == []


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_leading_zero_is_seen_however_the_bytes_are_cut(cut):
    data, sign = b"a,05,\n1", ZeroSign()
    sign.look(data[:cut])
    sign.look(data[cut:])
    assert sign.seen


@pytest.mark.parametrize("values", [pa.array([2**64 - 1], pa.uint64()), pa.array([1], pa.timestamp("ns", "UTC"))])
def test_what_no_table_holds_is_refused_with_the_type_that_keeps_it(upload, values):
    with pytest.raises(TableSchemaMismatch, match="does not fit") as refused:
        upload(as_file("parquet", x=values), "data.parquet")
    assert "--type x=text" in refused.value.hint


def test_a_number_too_large_for_a_float_is_named_as_it_stands(upload):
    with pytest.raises(InfiniteNumber, match=r"'x' has 1e400 in line 3 of data.csv, which is too large") as refused:
        upload("a,x\n1,2\n2,1e400\n")
    assert "--null" not in refused.value.hint
    assert upload("a,x\n1,2\n2,1e400\n", column_types={"x": "text"})[0]["x"].to_pylist() == ["2", "1e400"]


@pytest.mark.parametrize(("content", "line"), [(b"a,b\n1,x\0y\n2,z\n", 2), (b"a,b\0c\n1,2\n", 1)])
def test_a_zero_byte_in_a_field_is_told_by_its_line(upload, content, line):
    with pytest.raises(BadRow, match=f"line {line}: a zero byte") as refused:
        upload(content)
    assert refused.value.line == line


def test_text_in_two_bytes_a_letter_is_still_told_as_that(upload):
    with pytest.raises(BadSource, match="zero bytes at its start"):
        upload("a,b\n1,2\n".encode("utf-16-le"))
