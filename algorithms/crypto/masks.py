"""Random n-th powers under one key: what hides a plaintext in its ciphertext. One use each, never repeated."""

from __future__ import annotations

import os

import gmpy2
from gmpy2 import mpz

from algorithms.crypto.fixed_base import FixedBase, best_window
from algorithms.crypto.paillier import PrivateKey, PublicKey, random_power


class Masks:
    """Makes masks under one key; faster if it is the private one, whose owner computes modulo p^2 and q^2.

    Args:
        key: The public key, or the private one.
        expected: About how many masks this object will make; sizes the tables of powers of h^n, made at the first.
    """

    def __init__(self, key: PublicKey | PrivateKey, expected: int) -> None:
        self._owner = key if isinstance(key, PrivateKey) else None
        self._public = key.public if isinstance(key, PrivateKey) else key
        self._expected = expected
        self._tables: tuple[FixedBase, ...] = ()

    def next(self) -> mpz:
        """h^(nr) modulo n squared for a fresh r, or r^n where the key has no h."""
        public, owner = self._public, self._owner
        if public.h is None:
            return random_power(public)
        if not self._tables:
            self._tables = self._make_tables(public.h)
        exponent = os.urandom(public.exponent_bits // 8)
        if owner is None:
            return self._tables[0].power(exponent)
        return owner.join(*(table.power(part) for table, part in zip(self._tables, self._parts(exponent), strict=True)))

    def _parts(self, exponent: bytes) -> tuple[bytes, ...]:
        """The exponent for each of the owner's tables: reduced by the order of h^n where that makes it shorter."""
        owner = self._owner
        if owner is None or owner.a_p is None:
            return (exponent, exponent)
        number, size = mpz.from_bytes(exponent, "little"), self._table_bits() // 8
        return tuple((number % order).to_bytes(size, "little") for order in owner.orders)

    def _table_bits(self) -> int:
        if self._owner is None or self._owner.a_p is None:
            return self._public.exponent_bits
        return int(max(order.bit_length() for order in self._owner.orders) + 7) // 8 * 8

    def _make_tables(self, h: mpz) -> tuple[FixedBase, ...]:
        owner, bits = self._owner, self._table_bits()
        moduli = (owner.p_squared, owner.q_squared) if owner else (self._public.n_squared,)
        window = best_window(bits, self._expected)
        return tuple(
            FixedBase(gmpy2.powmod(h, self._public.n, modulus), modulus, window=window, exponent_bits=bits)
            for modulus in moduli
        )
