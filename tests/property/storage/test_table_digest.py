"""The digest of a table is that of its rows: however they are cut, whatever integer or text type they came in."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.columns.types import ContentDigest, normal_schema, normal_table

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
        st.one_of(st.none(), st.floats(width=32)),
        st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.dates()),
    ),
    max_size=12,
)
WIDE = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32())
NARROW = (pa.int32(), pa.float32(), pa.large_string(), pa.bool_(), pa.date64())


def table_of(found, types):
    columns = [pa.array([row[i] for row in found], kind) for i, kind in enumerate(types)]
    return pa.table(columns, names=list("nxtbd"))


def digest(table, cuts=()):
    schema = normal_schema(table.schema)
    content = ContentDigest(schema)
    whole = normal_table(table, schema).combine_chunks()
    for start, end in zip([0, *cuts], [*cuts, len(table)], strict=True):
        for batch in whole.slice(start, end - start).to_batches():
            content.update(batch)
    return content.hexdigest()


@given(rows, st.data())
@settings(max_examples=150, deadline=None)
def test_cuts_and_types_do_not_change_the_digest(found, data):
    whole = digest(table_of(found, WIDE))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(found)), max_size=4)))
    assert digest(table_of(found, WIDE), cuts) == whole
    assert digest(table_of(found, NARROW), cuts) == whole


@given(rows, rows)
@settings(max_examples=100, deadline=None)
def test_other_rows_have_another_digest(one, other):
    same = repr(one) == repr(other)
    assert (digest(table_of(one, WIDE)) == digest(table_of(other, WIDE))) == same


def test_what_looks_alike_differs():
    texts = [["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None]]
    assert len({digest(pa.table({"t": pa.array(text, pa.string())})) for text in texts}) == 4
    numbers = [[0, 1], [None, 1], [0.0, 1.0], [False, True]]
    assert len({digest(pa.table({"t": pa.array(number)})) for number in numbers}) == 4
    assert digest(pa.table({"a": [1]})) != digest(pa.table({"b": [1]}))
