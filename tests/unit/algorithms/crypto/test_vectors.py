"""Encrypted vectors: sums come out right, everything that does not belong is refused by name."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import phe
import pyarrow as pa
import pytest

from algorithms.api.errors import BadCiphertext, BadKey, WrongKey, WrongLayout
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import PublicKey, generate
from algorithms.crypto.vectors import VectorPaillier, slice_of
from party.ids import Address
from storage.client import decode
from storage.client import encode as encoded

LAYOUT = FixedPointLayout.exact(16.0, 3, 1024)
KEY = generate(1024)
OWNER = VectorPaillier(KEY, 50)
PUBLIC = VectorPaillier(KEY.public, 50)
OTHER = VectorPaillier(generate(1024), 1)
VALUES = np.random.default_rng(0).normal(size=100)
INTEGERS = LAYOUT.integers(VALUES)


def fresh():
    return OWNER.encrypt(LAYOUT, INTEGERS)


def with_bytes(vector, raw: bytes):
    width = vector.data.type.byte_width
    column = pa.Array.from_buffers(pa.binary(width), len(raw) // width, [None, pa.py_buffer(raw)])
    return replace(vector, data=column)


def test_a_vector_comes_back():
    integers, terms = OWNER.decrypt(LAYOUT, fresh())
    np.testing.assert_array_equal(integers, INTEGERS)
    assert terms == 1


def test_a_sum_survives_the_wire_and_a_slice_of_a_larger_column():
    total = decode(encoded(PUBLIC.add([decode(encoded(fresh())), fresh(), fresh()])))
    longer = pa.concat_arrays([total.data, total.data])
    integers, terms = OWNER.decrypt(LAYOUT, replace(total, data=longer[len(total.data) :]))
    np.testing.assert_array_equal(integers, 3 * INTEGERS)
    assert terms == 3


def test_ciphertexts_take_two_key_lengths_and_no_byte_more():
    vector = fresh()
    assert vector.data.type == pa.binary(256)
    assert len(vector.data) == LAYOUT.plaintexts(100)


def test_a_vector_says_whose_key_it_is_under_and_goes_with_no_other():
    guest, host = (Address.parse(text) for text in ("guest:a", "host:b"))
    owned, theirs = VectorPaillier(KEY, owner=guest), VectorPaillier(KEY.public, owner=guest)
    total = decode(encoded(theirs.rerandomise(theirs.add([slice_of(owned.encrypt(LAYOUT, INTEGERS), 0, 100)] * 2))))
    assert (total.owner, total.key) == ("guest:a", KEY.public.fingerprint)
    np.testing.assert_array_equal(owned.decrypt(LAYOUT, total)[0], 2 * INTEGERS)
    for engine in (OWNER, VectorPaillier(KEY, owner=host)):
        with pytest.raises(WrongKey, match="of guest:a, not under key"):
            engine.decrypt(LAYOUT, total)
    with pytest.raises(WrongKey, match="of several, not under key"):
        theirs.add([fresh()])


def test_phe_reads_an_encrypted_vector():
    public = phe.PaillierPublicKey(int(KEY.public.n))
    private = phe.PaillierPrivateKey(public, int(KEY.p), int(KEY.q))
    plain = [private.raw_decrypt(int.from_bytes(c, "big")) for c in fresh().data.to_pylist()]
    assert plain == [int.from_bytes(row.tobytes(), "big") for row in LAYOUT.pack(INTEGERS, 128)]


def test_another_key_is_refused():
    foreign = OTHER.encrypt(LAYOUT, INTEGERS)
    with pytest.raises(WrongKey):
        PUBLIC.add([fresh(), foreign])
    with pytest.raises(WrongKey):
        OTHER.decrypt(LAYOUT, fresh())
    with pytest.raises(BadKey, match="public"):
        PUBLIC.decrypt(LAYOUT, fresh())


def test_another_layout_or_length_is_refused():
    wider = FixedPointLayout.exact(32.0, 3, 1024)
    with pytest.raises(WrongLayout):
        PUBLIC.add([fresh(), OWNER.encrypt(wider, INTEGERS)])
    with pytest.raises(WrongLayout):
        OWNER.decrypt(wider, fresh())
    with pytest.raises(WrongLayout):
        PUBLIC.add([fresh(), OWNER.encrypt(LAYOUT, INTEGERS[:99])])
    with pytest.raises(WrongLayout):
        OWNER.encrypt(FixedPointLayout.exact(16.0, 3, 2048), INTEGERS)
    with pytest.raises(WrongLayout):
        OWNER.decrypt(LAYOUT, replace(fresh(), count=1000))
    with pytest.raises(WrongLayout):
        PUBLIC.add([replace(fresh(), count=-5, data=fresh().data[:0])] * 2)


def test_more_vectors_than_the_layout_allows_are_refused():
    total = PUBLIC.add([fresh(), fresh()])
    with pytest.raises(WrongLayout, match="4 vectors"):
        PUBLIC.add([total, total])


def test_a_forged_ciphertext_is_refused():
    vector = fresh()
    width, raw = vector.data.type.byte_width, b"".join(vector.data.to_pylist())
    for forged in (bytes(width), bytes(KEY.p.to_bytes(width, "big")), b"\xff" * width):
        for compute in (PUBLIC.rerandomise, lambda v: PUBLIC.multiply(v, 2), lambda v: PUBLIC.add_plain(v, INTEGERS)):
            with pytest.raises(BadCiphertext):
                compute(with_bytes(vector, forged + raw[width:]))
        with pytest.raises(BadCiphertext):
            PUBLIC.add([fresh(), with_bytes(vector, forged + raw[width:])])
        with pytest.raises(BadCiphertext):
            OWNER.decrypt(LAYOUT, with_bytes(vector, forged + raw[width:]))


def test_a_column_of_another_width_is_refused():
    vector = fresh()
    narrow = pa.array([b"12345678"] * len(vector.data), pa.binary(8))
    with pytest.raises(BadCiphertext):
        OWNER.decrypt(LAYOUT, replace(vector, data=narrow))


def test_a_flipped_bit_never_passes_unseen_as_the_same_values():
    vector = fresh()
    raw = bytearray(b"".join(vector.data.to_pylist()))
    raw[200] ^= 1
    try:
        integers, _ = OWNER.decrypt(LAYOUT, with_bytes(vector, bytes(raw)))
    except (BadCiphertext, WrongLayout):
        return
    assert (integers != INTEGERS).any()


def test_plain_values_are_added():
    total = PUBLIC.add_plain(fresh(), INTEGERS[::-1].copy())
    integers, terms = OWNER.decrypt(LAYOUT, total)
    np.testing.assert_array_equal(integers, INTEGERS + INTEGERS[::-1])
    assert terms == 2
    with pytest.raises(WrongLayout):
        PUBLIC.add_plain(fresh(), INTEGERS[:99])


@pytest.mark.parametrize("factor", [1, 3, -1, -2, -3])
def test_a_vector_is_multiplied_by_an_integer_of_either_sign(factor):
    integers, terms = OWNER.decrypt(LAYOUT, PUBLIC.multiply(fresh(), factor))
    np.testing.assert_array_equal(integers, factor * INTEGERS)
    assert terms == abs(factor)


def test_a_difference_of_vectors_is_a_sum_with_minus_one():
    difference = PUBLIC.add([fresh(), PUBLIC.multiply(OWNER.encrypt(LAYOUT, 2 * (INTEGERS // 2)), -1)])
    integers, _ = OWNER.decrypt(LAYOUT, difference)
    np.testing.assert_array_equal(integers, INTEGERS % 2)


def test_a_factor_beyond_the_layout_and_zero_are_refused():
    with pytest.raises(WrongLayout, match="4 vectors"):
        PUBLIC.multiply(fresh(), -4)
    with pytest.raises(WrongLayout, match="zero"):
        PUBLIC.multiply(fresh(), 0)


def test_rerandomising_changes_every_ciphertext_and_no_value():
    vector = fresh()
    again = PUBLIC.rerandomise(vector)
    assert not set(vector.data.to_pylist()) & set(again.data.to_pylist())
    np.testing.assert_array_equal(OWNER.decrypt(LAYOUT, again)[0], INTEGERS)


def test_a_slice_is_a_view_of_whole_ciphertexts():
    vector, slots = fresh(), LAYOUT.slots
    part = slice_of(vector, slots, 100)
    assert part.data.buffers()[1].address == vector.data.buffers()[1].address
    np.testing.assert_array_equal(OWNER.decrypt(LAYOUT, part)[0], INTEGERS[slots:])
    integers, _ = OWNER.decrypt(LAYOUT, decode(encoded(slice_of(vector, 0, slots))))
    np.testing.assert_array_equal(integers, INTEGERS[:slots])
    for start, stop in ((1, 100), (0, slots + 1), (slots, 0), (0, 101)):
        with pytest.raises(WrongLayout):
            slice_of(vector, start, stop)


def test_an_empty_vector_is_a_vector():
    empty = decode(encoded(PUBLIC.add([OWNER.encrypt(LAYOUT, INTEGERS[:0])] * 3)))
    integers, terms = OWNER.decrypt(LAYOUT, empty)
    assert (len(integers), terms, len(empty.data)) == (0, 3, 0)


def test_masks_made_while_waiting_are_used_once_each():
    engine = VectorPaillier(KEY, 50)
    with engine.preparing(10**6):
        while len(engine._stock) < 40 * 256:
            time.sleep(0.01)
    made = len(engine._stock)
    rows = np.zeros(LAYOUT.slots * 5, dtype=np.int64)
    ciphertexts = [c for _ in range(20) for c in engine.encrypt(LAYOUT, rows).data.to_pylist()]
    assert len(set(ciphertexts)) == len(ciphertexts) == 100
    assert len(engine._stock) == max(0, made - 100 * 256)


def test_a_key_by_the_textbook_works_for_vectors_too():
    bare = VectorPaillier(PublicKey(KEY.public.n))
    owner = VectorPaillier(replace(KEY, h=None))
    integers, _ = owner.decrypt(LAYOUT, bare.encrypt(LAYOUT, INTEGERS[:20]))
    np.testing.assert_array_equal(integers, INTEGERS[:20])
