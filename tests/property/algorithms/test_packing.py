"""For all vectors: decrypt(encrypt(x)) = x, and sums are the sums."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import Encryptor, generate
from algorithms.crypto.vectors import add, decrypt, encrypt

KEY = generate(1024)
ENCRYPTOR = Encryptor(KEY, 500)
LAYOUTS = st.builds(
    FixedPointLayout.exact,
    largest=st.floats(1e-9, 1e9),
    additions=st.integers(1, 1000),
    key_bits=st.sampled_from([1024, 2048]),
    value_bits=st.integers(8, 50),
)


@given(layout=LAYOUTS, seed=st.integers(0, 2**32), count=st.integers(1, 300), terms=st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_the_packed_sum_of_any_number_of_vectors_unpacks_to_their_sum(layout, seed, count, terms):
    terms = min(terms, layout.additions)
    rng = np.random.default_rng(seed)
    vectors = [rng.integers(-layout.offset + 1, layout.offset, count) for _ in range(min(terms, 7))]
    vectors += [vectors[0]] * (terms - len(vectors))
    packed = [layout.pack(vector) for vector in vectors[:7]] + [layout.pack(vectors[0])] * max(0, terms - 7)
    sums = [sum(column) for column in zip(*packed, strict=True)]
    np.testing.assert_array_equal(layout.unpack(sums, count, terms), np.sum(vectors, axis=0))


@given(arrays(np.float64, st.integers(1, 70), elements=st.floats(-15.9, 15.9)))
@settings(max_examples=25, deadline=None)
def test_encrypting_adding_and_decrypting_is_adding(values):
    layout = FixedPointLayout.exact(16.0, 2, 1024)
    integers = layout.integers(values)
    total = add(KEY.public, [encrypt(ENCRYPTOR, layout, integers), encrypt(ENCRYPTOR, layout, -integers[::-1])])
    found, terms = decrypt(KEY, layout, total)
    np.testing.assert_array_equal(found, integers - integers[::-1])
    assert terms == 2
