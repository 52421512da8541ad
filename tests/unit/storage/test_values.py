"""Values: what may be encoded, what comes back, and that arrays are not copied more than they must."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from storage.client import (
    Ciphertexts,
    Kind,
    UnsupportedValue,
    ValueDamaged,
    decode,
    describe,
    encode,
    kind_of,
)

CIPHERTEXTS = Ciphertexts("ab", '{"slots":2}', 3, pa.array([b"1234", b"5678"], pa.binary(4)))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, Kind.NONE),
        (False, Kind.BOOL),
        (0, Kind.INT),
        (0.0, Kind.FLOAT),
        ("", Kind.TEXT),
        (b"", Kind.BYTES),
        (CIPHERTEXTS, Kind.CIPHERTEXTS),
        ({}, Kind.RECORD),
    ],
)
def test_a_value_keeps_its_kind_and_type(value, kind):
    data = encode(value)
    found = decode(data)
    assert found == value
    assert type(found) is type(value)
    assert describe(data).kind is kind is kind_of(value)


def test_an_array_comes_back_as_a_read_only_view_of_the_bytes():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = encode(array)
    found = decode(data)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.float32
    assert not found.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True
    assert data.address <= found.__array_interface__["data"][0] < data.address + data.size


def test_arrays_of_any_order_and_byte_order_keep_their_elements():
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    for array in (np.asfortranarray(base), base[::2, ::-1], base.astype(">i4"), base.T):
        np.testing.assert_array_equal(decode(encode(array)), array)


def test_numpy_scalars_count_as_python_ones():
    assert decode(encode(np.float32(1.5))) == 1.5
    assert decode(encode(np.int64(-3))) == -3
    assert decode(encode(np.bool_(True))) is True


def test_a_record_mixes_scalars_arrays_and_ciphertexts():
    record = {"rows": 5, "w": np.ones((2, 2)), "c": CIPHERTEXTS, "": None}
    data = encode(record)
    found = decode(data)
    assert list(found) == list(record)
    assert found["c"] == CIPHERTEXTS
    header = describe(data)
    assert [(f.name, f.kind, f.dtype, f.shape, f.key) for f in header.fields] == [
        ("rows", Kind.INT, None, None, None),
        ("w", Kind.ARRAY, "float64", (2, 2), None),
        ("c", Kind.CIPHERTEXTS, None, (3,), "ab"),
        ("", Kind.NONE, None, None, None),
    ]


def test_a_table_keeps_rows_and_types_but_no_foreign_metadata():
    table = pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"pandas": "{}"})
    data = encode(table)
    found = decode(data)
    assert found.equals(table)
    assert found.schema.metadata is None
    assert [(f.name, f.kind, f.dtype) for f in describe(data).fields] == [
        ("a", Kind.TABLE, "int64"),
        ("b", Kind.TABLE, "string"),
    ]


def test_a_table_of_several_chunks_or_none_comes_back_whole():
    chunks = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2, 3]})])
    assert decode(encode(chunks)).column("a").to_pylist() == [1, 2, 3]
    assert decode(encode(chunks.slice(1, 1))).column("a").to_pylist() == [2]
    assert decode(encode(chunks.slice(0, 0))).num_rows == 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        {1, 2},
        [1.0],
        1j,
        2**63,
        -(2**63) - 1,
        "\ud800",
        np.array(["a"]),
        np.array([1j]),
        np.array([1.0], np.float16),
        np.array([1.0], np.longdouble),
        np.array([None]),
        np.ma.masked_array([1.0], [True]),
        {"a": {"b": 1}},
        {"a": pa.table({"x": [1]})},
        {1: 2},
        pa.table({"a": [[1]]}),
        pa.table([[1], [2]], names=["a", "a"]),
        Ciphertexts("k", "{}", 1, pa.array([None], pa.binary(2))),
        Ciphertexts("k", "{}", -1, pa.array([b"ab"], pa.binary(2))),
    ],
    ids=repr,
)
def test_what_is_not_in_the_closed_list_is_refused(value):
    with pytest.raises(UnsupportedValue):
        encode(value)


def test_encoding_takes_one_copy_of_the_array_and_decoding_none():
    array = np.ones(4_000_000)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    data = encode(array)
    assert pa.total_allocated_bytes() - before < array.nbytes * 1.01
    found = decode(data)
    assert pa.total_allocated_bytes() - before < array.nbytes * 1.01
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert found[-1] == 1.0


def respelled(value, schema=None, fields=None):
    """The bytes of a value with metadata of one's own beside what belongs there."""
    reader = pa.ipc.open_stream(encode(value))
    known = [field.with_metadata({**(field.metadata or {}), **(fields or {})}) for field in reader.schema]
    spelled = pa.schema(known, metadata={**reader.schema.metadata, **(schema or {})})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, spelled) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(reader.read_next_batch().columns, schema=spelled))
    return sink.getvalue()


@pytest.mark.parametrize("value", [7, "x", {"loss": 0.5}, np.arange(3.0), CIPHERTEXTS, pa.table({"a": [1]})])
@pytest.mark.parametrize("read", [decode, describe], ids=["decode", "describe"])
def test_nothing_travels_beside_a_value(value, read):
    read(respelled(value))
    with pytest.raises(ValueDamaged, match="metadata 'rows' of 9 bytes"):
        read(respelled(value, schema={b"rows": b"income=17"}))
    with pytest.raises(ValueDamaged, match="metadata 'rows' of 9 bytes"):
        read(respelled(value, fields={b"rows": b"income=17"}))


def test_nothing_travels_beside_the_items_of_an_array():
    items = pa.large_list(pa.field("item", pa.float64(), nullable=False, metadata={b"rows": b"income=17"}))
    known = pa.ipc.open_stream(encode(np.arange(3.0))).schema
    schema = pa.schema([known.field(0).with_type(items)], metadata=known.metadata)
    cell = pa.LargeListArray.from_arrays(pa.array([0, 3], pa.int64()), pa.array(np.arange(3.0)), type=items)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([cell], schema=schema))
    with pytest.raises(ValueDamaged, match="metadata 'rows' of 9 bytes"):
        decode(sink.getvalue())


def test_what_belongs_beside_one_kind_of_value_belongs_beside_no_other():
    for value in (7, np.arange(3.0)):
        with pytest.raises(ValueDamaged, match="metadata 'layout' of 4 bytes"):
            decode(respelled(value, fields={b"layout": b"rows"}))


def test_what_belongs_beside_a_value_is_short():
    with pytest.raises(ValueDamaged, match="metadata 'layout' of 2000 bytes"):
        decode(encode(Ciphertexts("k", "x" * 2000, 1, CIPHERTEXTS.data)))


def test_every_cut_of_a_value_is_noticed():
    data = bytes(encode({"w": np.arange(3.0), "t": "x"}))
    for end in range(len(data)):
        with pytest.raises(ValueDamaged):
            decode(data[:end])


def test_ciphertexts_and_headers_do_not_print_their_content():
    assert "1234" not in repr(CIPHERTEXTS)
    assert CIPHERTEXTS != 5
