"""decode(encode(x)) is x, and no bytes whatever make decoding do anything but answer or raise its own errors."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from storage.client import Ciphertexts, ValueDamaged, ValueKindUnknown, ValueVersionUnknown, decode, describe, encode

DTYPES = st.sampled_from(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
)
arrays = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), texts, st.binary(max_size=20)
)
ciphertexts = st.builds(
    lambda width, cells, count, key, owner: Ciphertexts(
        key, "{}", count, pa.array([c.ljust(width, b"\0")[:width] for c in cells], pa.binary(width)), owner
    ),
    st.integers(1, 8),
    st.lists(st.binary(max_size=8), max_size=4),
    st.integers(0, 2**40),
    texts,
    texts,
)
fields = st.one_of(scalars, arrays, ciphertexts)
values = st.one_of(fields, st.dictionaries(texts, fields, max_size=4))


@given(values)
@settings(max_examples=150, deadline=None)
def test_decoding_gives_what_was_encoded(value):
    same(decode(encode(value)), value)


@given(values, st.data())
@settings(max_examples=150, deadline=None)
def test_changed_bytes_are_decoded_or_refused_by_name(value, data):
    whole = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for read in (decode, describe):
        with suppress(ValueDamaged, ValueKindUnknown, ValueVersionUnknown):
            read(bytes(whole))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_refused_by_name(data):
    try:
        decode(data)
    except (ValueDamaged, ValueKindUnknown, ValueVersionUnknown):
        return
    raise AssertionError("decoded")


def same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, field in expected.items():
            same(found[name], field)
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == expected
