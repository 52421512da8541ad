"""Random n-th powers under one key: what hides a plaintext in its ciphertext. One use each, never repeated."""

from __future__ import annotations

import os

from gmpy2 import mpz, powmod

from algorithms.crypto.fixed_base import FixedBase, best_depth, columns_of, digits_of
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
        parts = self._reduced(exponent, owner) if owner.a_p else (exponent, exponent)
        return owner.join(*(table.power(part) for table, part in zip(self._tables, parts, strict=True)))

    def _reduced(self, exponent: bytes, owner: PrivateKey) -> tuple[bytes, ...]:
        """The digits of an exponent modulo the order of h^n, modulo p^2 and q^2: half as many."""
        number = mpz.from_bytes(exponent, "little")
        return tuple(digits_of(number % order, self._columns()) for order in owner.orders)

    def _columns(self) -> int:
        owner = self._owner
        if owner is None or owner.a_p is None:
            return columns_of(self._public.exponent_bits)
        return columns_of(max(order.bit_length() for order in owner.orders))

    def _make_tables(self, h: mpz) -> tuple[FixedBase, ...]:
        owner, columns = self._owner, self._columns()
        moduli = (owner.p_squared, owner.q_squared) if owner else (self._public.n_squared,)
        depth = best_depth(columns, self._expected)
        return tuple(
            FixedBase(powmod(h, self._public.n, modulus), modulus, columns=columns, depth=depth) for modulus in moduli
        )
