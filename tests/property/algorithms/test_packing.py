"""For all vectors: decrypt(encrypt(x)) = x, and sums and multiples are what they are in the clear."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algorithms.api.errors import BadCiphertext, NotFinite, ValueOutgrewLayout, WrongLayout
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import generate
from algorithms.crypto.vectors import VectorPaillier, slice_of

KEYS = {keygen: generate(1024, keygen) for keygen in ("standard", "subgroup")}
OWNERS = {keygen: VectorPaillier(key, 500) for keygen, key in KEYS.items()}
PUBLICS = {keygen: VectorPaillier(key.public, 500) for keygen, key in KEYS.items()}
KEYGENS = st.sampled_from(list(KEYS))
LAYOUTS = st.builds(
    FixedPointLayout.exact,
    largest=st.floats(1e-9, 1e9),
    additions=st.integers(1, 1000),
    key_bits=st.just(1024),
    value_bits=st.integers(8, 50),
)
EDGE = FixedPointLayout.exact(16.0, 2, 1024).largest
VALUES = arrays(
    np.float64,
    st.integers(0, 70),
    elements=st.one_of(st.floats(-EDGE, EDGE), st.sampled_from([EDGE, -EDGE, 0.0, -0.0, 5e-324, -2.2e-308, 1e-300])),
)


@given(layout=LAYOUTS, seed=st.integers(0, 2**32), count=st.integers(1, 300), terms=st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_the_packed_sum_of_any_number_of_vectors_unpacks_to_their_sum(layout, seed, count, terms):
    terms = min(terms, layout.additions)
    rng = np.random.default_rng(seed)
    vectors = [rng.integers(-layout.offset + 1, layout.offset, count) for _ in range(min(terms, 7))]
    times = [1] * (len(vectors) - 1) + [terms - len(vectors) + 1]
    packed = [layout.pack(vector, 128) for vector in vectors]
    numbers = [
        sum(int.from_bytes(rows[i].tobytes(), "big") * k for rows, k in zip(packed, times, strict=True))
        for i in range(layout.plaintexts(count))
    ]
    sums = np.array([np.frombuffer(number.to_bytes(128, "big"), np.uint8) for number in numbers])
    expected = np.sum([vector * k for vector, k in zip(vectors, times, strict=True)], axis=0)
    np.testing.assert_array_equal(layout.unpack(sums, count, terms), expected)


@given(keygen=KEYGENS, values=VALUES)
@settings(max_examples=30, deadline=None)
@example("standard", np.array([EDGE, -EDGE, 0.0, 5e-324]))
def test_encrypting_adding_and_decrypting_is_adding(keygen, values):
    owner, public = OWNERS[keygen], PUBLICS[keygen]
    layout = FixedPointLayout.exact(16.0, 2, 1024)
    integers = layout.integers(values)
    back, terms = owner.decrypt(layout, owner.encrypt(layout, integers))
    np.testing.assert_array_equal(layout.floats(back), layout.floats(integers))
    assert np.abs(layout.floats(back) - values).max(initial=0.0) <= 16.0 * 2.0**-30
    assert terms == 1
    total = public.add([owner.encrypt(layout, integers), public.encrypt(layout, -integers[::-1])])
    found, terms = owner.decrypt(layout, total)
    np.testing.assert_array_equal(found, integers - integers[::-1])
    assert terms == 2


@pytest.mark.parametrize("keygen", list(KEYS))
@pytest.mark.parametrize("vectors", [2, 3, 1000])
def test_sums_of_up_to_a_thousand_vectors_at_the_edges_of_the_range(keygen, vectors):
    owner, public = OWNERS[keygen], PUBLICS[keygen]
    layout = FixedPointLayout.exact(16.0, 1000, 1024)
    extremes = np.where(np.arange(50) % 3, layout.offset - 1, 1 - layout.offset)
    fresh = [owner.encrypt(layout, extremes) for _ in range(min(vectors, 10))]
    total = public.add([fresh[i % len(fresh)] for i in range(vectors)])
    found, terms = owner.decrypt(layout, total)
    np.testing.assert_array_equal(found, vectors * extremes)
    assert terms == vectors
    with pytest.raises(WrongLayout):
        public.add([total] * (1000 // vectors + 1))


@given(
    keygen=KEYGENS,
    layout=LAYOUTS,
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    factor=st.integers(-1000, 1000).filter(bool),
)
@settings(max_examples=40, deadline=None)
def test_multiples_plain_sums_and_slices_are_what_they_are_in_the_clear(keygen, layout, seed, count, factor):
    owner, public = OWNERS[keygen], PUBLICS[keygen]
    rng = np.random.default_rng(seed)
    integers, more = rng.integers(-layout.offset + 1, layout.offset, (2, count))
    vector = public.encrypt(layout, integers)
    if abs(factor) + 1 > layout.additions:
        with pytest.raises(WrongLayout):
            public.add_plain(public.multiply(vector, factor), more)
        return
    changed = public.rerandomise(public.add_plain(public.multiply(vector, factor), more))
    expected = factor * integers + more
    np.testing.assert_array_equal(owner.decrypt(layout, changed)[0], expected)
    start = layout.slots * int(rng.integers(0, layout.plaintexts(count)))
    np.testing.assert_array_equal(owner.decrypt(layout, slice_of(changed, start, count))[0], expected[start:])


@given(values=VALUES, index=st.integers(0, 20), wrong=st.sampled_from([np.nan, np.inf, -np.inf, 16.5, -17.0, 1e300]))
@settings(max_examples=60, deadline=None)
def test_what_does_not_fit_is_refused_with_its_index(values, index, wrong):
    layout = FixedPointLayout.exact(16.0, 2, 1024)
    assume(index < len(values))
    values[index] = wrong
    error = ValueOutgrewLayout if np.isfinite(wrong) else NotFinite
    with pytest.raises(error, match=rf"w\[{index + 7}\]"):
        layout.integers(values, "w", start=7)


@given(keygen=KEYGENS, seed=st.integers(0, 2**32), place=st.integers(0, 255), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_tampered_ciphertext_is_refused_or_means_something_else(keygen, seed, place, bit):
    owner = OWNERS[keygen]
    layout = FixedPointLayout.exact(16.0, 2, 1024)
    integers = np.random.default_rng(seed).integers(-1000, 1000, layout.slots)
    vector = owner.encrypt(layout, integers)
    raw = np.frombuffer(vector.data.buffers()[1], np.uint8)
    raw[place] ^= 1 << bit
    try:
        found, _ = owner.decrypt(layout, vector)
    except (BadCiphertext, WrongLayout):
        return
    assert (found != integers).any()


@given(keygen=KEYGENS, factor=st.integers(0, 2**1024))
@settings(max_examples=40, deadline=None)
def test_a_multiple_of_a_prime_factor_is_never_a_ciphertext(keygen, factor):
    key = KEYS[keygen]
    forged = int(key.p) * factor % int(key.public.n_squared)
    with pytest.raises(BadCiphertext):
        key.decrypt([type(key.p)(forged)])
