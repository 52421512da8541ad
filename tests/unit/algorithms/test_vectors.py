"""Encrypted vectors: sums come out right, everything that does not belong is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phe
import pyarrow as pa
import pytest

from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import Encryptor, generate
from algorithms.crypto.vectors import add, decrypt, encrypt
from algorithms.errors import BadCiphertext, WrongKey, WrongLayout
from storage.client import decode
from storage.client import encode as encoded

LAYOUT = FixedPointLayout.exact(16.0, 3, 1024)
KEY = generate(1024)
OTHER_KEY = generate(1024)
ENCRYPTOR = Encryptor(KEY, 50)
VALUES = np.random.default_rng(0).normal(size=100)
INTEGERS = LAYOUT.integers(VALUES)


def fresh():
    return encrypt(ENCRYPTOR, LAYOUT, INTEGERS)


def with_bytes(vector, raw: bytes):
    width = vector.data.type.byte_width
    column = pa.Array.from_buffers(pa.binary(width), len(raw) // width, [None, pa.py_buffer(raw)])
    return replace(vector, data=column)


def test_a_vector_comes_back():
    integers, terms = decrypt(KEY, LAYOUT, fresh())
    np.testing.assert_array_equal(integers, INTEGERS)
    assert terms == 1


def test_a_sum_survives_the_wire_and_a_slice_of_a_larger_column():
    total = decode(encoded(add(KEY.public, [decode(encoded(fresh())), fresh(), fresh()])))
    longer = pa.concat_arrays([total.data, total.data])
    integers, terms = decrypt(KEY, LAYOUT, replace(total, data=longer[len(total.data) :]))
    np.testing.assert_array_equal(integers, 3 * INTEGERS)
    assert terms == 3


def test_ciphertexts_take_two_key_lengths_and_no_byte_more():
    vector = fresh()
    assert vector.data.type == pa.binary(256)
    assert len(vector.data) == LAYOUT.plaintexts(100)


def test_phe_reads_an_encrypted_vector():
    public = phe.PaillierPublicKey(int(KEY.public.n))
    private = phe.PaillierPrivateKey(public, int(KEY.p), int(KEY.q))
    plain = [private.raw_decrypt(int.from_bytes(c, "big")) for c in fresh().data.to_pylist()]
    assert plain == LAYOUT.pack(INTEGERS)


def test_another_key_is_refused():
    foreign = encrypt(Encryptor(OTHER_KEY, 1), LAYOUT, INTEGERS)
    with pytest.raises(WrongKey):
        add(KEY.public, [fresh(), foreign])
    with pytest.raises(WrongKey):
        decrypt(OTHER_KEY, LAYOUT, fresh())


def test_another_layout_or_length_is_refused():
    wider = FixedPointLayout.exact(32.0, 3, 1024)
    with pytest.raises(WrongLayout):
        add(KEY.public, [fresh(), encrypt(ENCRYPTOR, wider, INTEGERS)])
    with pytest.raises(WrongLayout):
        decrypt(KEY, wider, fresh())
    with pytest.raises(WrongLayout):
        add(KEY.public, [fresh(), encrypt(ENCRYPTOR, LAYOUT, INTEGERS[:99])])
    with pytest.raises(WrongLayout):
        encrypt(ENCRYPTOR, FixedPointLayout.exact(16.0, 3, 2048), INTEGERS)
    with pytest.raises(WrongLayout):
        decrypt(KEY, LAYOUT, replace(fresh(), count=1000))


def test_more_vectors_than_the_layout_allows_are_refused():
    total = add(KEY.public, [fresh(), fresh()])
    with pytest.raises(WrongLayout, match="4 vectors"):
        add(KEY.public, [total, total])


def test_a_forged_ciphertext_is_refused():
    vector = fresh()
    width, raw = vector.data.type.byte_width, b"".join(vector.data.to_pylist())
    for forged in (bytes(width), bytes(KEY.p.to_bytes(width, "big")), b"\xff" * width):
        with pytest.raises(BadCiphertext):
            add(KEY.public, [fresh(), with_bytes(vector, forged + raw[width:])])
        with pytest.raises(BadCiphertext):
            decrypt(KEY, LAYOUT, with_bytes(vector, forged + raw[width:]))


def test_a_column_of_another_width_is_refused():
    vector = fresh()
    narrow = pa.array([b"12345678"] * len(vector.data), pa.binary(8))
    with pytest.raises(BadCiphertext):
        decrypt(KEY, LAYOUT, replace(vector, data=narrow))


def test_a_flipped_bit_never_passes_unseen_as_the_same_values():
    vector = fresh()
    raw = bytearray(b"".join(vector.data.to_pylist()))
    raw[200] ^= 1
    try:
        integers, _ = decrypt(KEY, LAYOUT, with_bytes(vector, bytes(raw)))
    except (BadCiphertext, WrongLayout):
        return
    assert (integers != INTEGERS).any()
