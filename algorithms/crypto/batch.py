"""Arithmetic on one batch of ciphertexts under one key: bytes in, bytes out, no layouts.

A batch is ciphertexts of equal width one after the other, big-endian. What is added, multiplied or masked here is
modulo n squared: adding plaintexts is multiplying ciphertexts (Paillier 1999, section 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import gmpy2
from gmpy2 import mpz

from algorithms.api.errors import BadCiphertext, BadKey
from algorithms.crypto.masks import Masks
from algorithms.crypto.paillier import PrivateKey, PublicKey

Raw: TypeAlias = bytes | bytearray | memoryview


class BatchArithmetic:
    """What can be done to batches under one key.

    Args:
        key: The public key, or the private one, which decrypts and makes masks faster.
        expected: About how many masks will be made.
    """

    def __init__(self, key: PublicKey | PrivateKey, expected: int) -> None:
        self._private = key if isinstance(key, PrivateKey) else None
        self.public = key.public if isinstance(key, PrivateKey) else key
        self._masks = Masks(key, expected)

    def masks(self, count: int) -> bytes:
        """Fresh masks, as a batch."""
        return self._joined(self._masks.next() for _ in range(count))

    def encrypt(self, plaintexts: Raw, masks: Raw) -> bytes:
        """(1 + mn) * mask for each plaintext of `plaintext_bytes`; masks that are zero or not given are made."""
        n, n_squared = self.public.n, self.public.n_squared
        given = self._numbers(masks)
        return self._joined(
            (1 + m * n) * (next(given, None) or self._masks.next()) % n_squared
            for m in _cut(plaintexts, self.public.plaintext_bytes)
        )

    def decrypt(self, ciphertexts: Raw) -> bytes:
        """Plaintexts of `plaintext_bytes` each. Raises BadCiphertext, BadKey."""
        if self._private is None:
            raise BadKey("The public key does not decrypt.")
        width = self.public.plaintext_bytes
        return b"".join(m.to_bytes(width, "big") for m in self._private.decrypt(list(self._numbers(ciphertexts))))

    def add(self, batches: Sequence[Raw]) -> bytes:
        """The sums, ciphertext by ciphertext. Raises BadCiphertext."""
        n_squared = self.public.n_squared
        sums = []
        for column in zip(*(self._ciphertexts(batch) for batch in batches), strict=True):
            total = mpz(1)
            for ciphertext in column:
                total = total * ciphertext % n_squared
            sums.append(total)
        self._require_units(sums)
        return self._joined(sums)

    def add_plain(self, ciphertexts: Raw, plaintexts: Raw) -> bytes:
        """Ciphertext * (1 + mn) for each pair; as random as it was. Raises BadCiphertext."""
        n, n_squared = self.public.n, self.public.n_squared
        pairs = zip(self._units(ciphertexts), _cut(plaintexts, self.public.plaintext_bytes), strict=True)
        return self._joined(c * (1 + m * n) % n_squared for c, m in pairs)

    def multiply(self, ciphertexts: Raw, factors: Iterable[int]) -> bytes:
        """Ciphertext^k for each pair; k may be negative. Raises BadCiphertext."""
        n_squared, pairs = self.public.n_squared, zip(self._units(ciphertexts), factors, strict=True)
        return self._joined(gmpy2.powmod(c, k, n_squared) for c, k in pairs)

    def rerandomise(self, ciphertexts: Raw, masks: Raw) -> bytes:
        """The same plaintexts under fresh masks; masks that are zero or not given are made. Raises BadCiphertext."""
        n_squared, given = self.public.n_squared, self._numbers(masks)
        return self._joined(c * (next(given, None) or self._masks.next()) % n_squared for c in self._units(ciphertexts))

    def _units(self, ciphertexts: Raw) -> list[mpz]:
        units = list(self._ciphertexts(ciphertexts))
        self._require_units(units)
        return units

    def _ciphertexts(self, batch: Raw) -> Iterator[mpz]:
        """Raises BadCiphertext."""
        n_squared = self.public.n_squared
        for ciphertext in self._numbers(batch):
            if ciphertext >= n_squared:
                raise BadCiphertext("A ciphertext is not below n squared.")
            yield ciphertext

    def _require_units(self, numbers: Iterable[mpz]) -> None:
        """A product is a unit modulo n, and so modulo n squared, only if every factor is. Raises BadCiphertext."""
        n, product = self.public.n, mpz(1)
        for number in numbers:
            product = product * number % n
        if gmpy2.gcd(product, n) != 1:
            raise BadCiphertext("A ciphertext is not a unit modulo n squared.", hint="It was damaged or forged.")

    def _numbers(self, batch: Raw) -> Iterator[mpz]:
        return _cut(batch, self.public.ciphertext_bytes)

    def _joined(self, ciphertexts: Iterable[mpz]) -> bytes:
        width = self.public.ciphertext_bytes
        return b"".join(c.to_bytes(width, "big") for c in ciphertexts)


def _cut(batch: Raw, width: int) -> Iterator[mpz]:
    for at in range(0, len(batch), width):
        yield mpz.from_bytes(bytes(batch[at : at + width]), "big")
