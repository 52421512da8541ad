"""Vectors under Paillier: encrypt, add, decrypt; every operation checks key and layout.

An encrypted vector is `storage.client.Ciphertexts`: a fixed-size binary column of 2 * key bits per ciphertext and
not one more, the key's fingerprint, the layout with the number of vectors added, and the count of values. A sum of
fresh ciphertexts is as random as a fresh one and need not be randomised again before it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import pyarrow as pa
from gmpy2 import mpz

from algorithms.crypto.packing import FixedPointLayout, Integers
from algorithms.crypto.paillier import Encryptor, PrivateKey, PublicKey
from algorithms.errors import BadCiphertext, WrongKey, WrongLayout
from storage.client import Ciphertexts


def encrypt(encryptor: Encryptor, layout: FixedPointLayout, integers: Integers) -> Ciphertexts:
    """The encrypted vector of fixed-point integers that `layout` made. Raises WrongLayout."""
    public = encryptor.public
    _require_fit(layout, public)
    ciphertexts = (encryptor.encrypt(plaintext) for plaintext in layout.pack(integers))
    return Ciphertexts(
        key=public.fingerprint,
        layout=layout.to_json(terms=1),
        count=len(integers),
        data=_column(ciphertexts, public.ciphertext_bytes),
    )


def add(public: PublicKey, vectors: Sequence[Ciphertexts]) -> Ciphertexts:
    """The encrypted sum. Raises WrongKey, WrongLayout (unlike layouts, too many terms), BadCiphertext."""
    layout, _ = FixedPointLayout.parse(vectors[0].layout)
    terms, count = 0, vectors[0].count
    for vector in vectors:
        terms += _checked(vector, public, layout, count)
    if terms > layout.additions:
        raise WrongLayout(f"{terms} vectors were to be added; their layout allows {layout.additions}.")
    sums = [public.checked(_product(column, public)) for column in zip(*map(_numbers, vectors), strict=True)]
    return Ciphertexts(
        key=public.fingerprint,
        layout=layout.to_json(terms),
        count=count,
        data=_column(sums, public.ciphertext_bytes),
    )


def decrypt(private: PrivateKey, layout: FixedPointLayout, vector: Ciphertexts) -> tuple[Integers, int]:
    """The integers, and of how many vectors they are the sum. Raises WrongKey, WrongLayout, BadCiphertext."""
    terms = _checked(vector, private.public, layout, vector.count)
    return layout.unpack(private.decrypt(list(_numbers(vector))), vector.count, terms), terms


def _checked(vector: Ciphertexts, public: PublicKey, layout: FixedPointLayout, count: int) -> int:
    """The terms of a vector that belongs to this key and layout. Raises WrongKey, WrongLayout, BadCiphertext."""
    if vector.key != public.fingerprint:
        raise WrongKey(f"The vector is encrypted under key {vector.key[:12]}, not {public.fingerprint[:12]}.")
    found, terms = FixedPointLayout.parse(vector.layout)
    if found != layout or vector.count != count:
        raise WrongLayout(f"A vector of {vector.count} values in {found} does not go with {count} values in {layout}.")
    _require_fit(layout, public)
    if vector.data.type != pa.binary(public.ciphertext_bytes) or vector.data.null_count:
        raise BadCiphertext(f"Ciphertexts are {vector.data.type}, not {public.ciphertext_bytes} bytes each.")
    if len(vector.data) != layout.plaintexts(count):
        raise WrongLayout(f"{len(vector.data)} ciphertexts do not hold {count} values in {layout}.")
    return terms


def _require_fit(layout: FixedPointLayout, public: PublicKey) -> None:
    if not layout.fits(public.bits):
        raise WrongLayout(f"{layout} does not fit under a key of {public.bits} bits.")


def _product(column: Iterable[mpz], public: PublicKey) -> mpz:
    """Adding plaintexts is multiplying ciphertexts; the product is a unit only if every factor is."""
    result = mpz(1)
    for ciphertext in column:
        if ciphertext >= public.n_squared:
            raise BadCiphertext(f"A ciphertext under key {public.fingerprint[:12]} is not below n squared.")
        result = result * ciphertext % public.n_squared
    return result


def _column(ciphertexts: Iterable[mpz], width: int) -> pa.FixedSizeBinaryArray:
    raw = b"".join(c.to_bytes(width, "big") for c in ciphertexts)
    column = pa.Array.from_buffers(pa.binary(width), len(raw) // width, [None, pa.py_buffer(raw)])
    return cast("pa.FixedSizeBinaryArray", column)


def _numbers(vector: Ciphertexts) -> Iterator[mpz]:
    """The ciphertexts of a vector, read from its Arrow buffer one at a time."""
    width = vector.data.type.byte_width
    buffer: Any = vector.data.buffers()[1]
    raw = memoryview(buffer)
    for index in range(vector.data.offset, vector.data.offset + len(vector.data)):
        yield mpz.from_bytes(bytes(raw[index * width : (index + 1) * width]), "big")
