"""Random powers of one fixed base, from a table made once.

Source: Brickell, Gordon, McCurley, Wilson 1992, "Fast Exponentiation with Precomputation", the simple windowed form.
The exponent is cut into digits of `window` bits; the table holds base^(digit * 2^(window * position)) for each digit
and position, so that a power costs one multiplication a position and no squaring. The larger the table, the cheaper
a power: `best_window` balances the two for the number of powers expected.
"""

from __future__ import annotations

import os

from gmpy2 import mpz

MAX_WINDOW = 8  # a digit is drawn as one byte; 2^8 * 128 entries of 512 bytes are 16 MiB at 2048 bits


def best_window(exponent_bits: int, powers: int) -> int:
    """The window that makes a table and then `powers` powers with the fewest multiplications."""
    return min(range(1, MAX_WINDOW + 1), key=lambda w: -(-exponent_bits // w) * ((1 << w) + powers))


def random_digits(window: int, exponent_bits: int) -> bytes:
    """A uniform exponent of at least `exponent_bits` bits as digits, from the operating system's randomness."""
    mask = (1 << window) - 1
    return bytes(byte & mask for byte in os.urandom(-(-exponent_bits // window)))


class FixedBase:
    """The table of one base and modulus."""

    def __init__(self, base: mpz, modulus: mpz, *, window: int, exponent_bits: int) -> None:
        self._modulus = modulus
        self._rows: list[list[mpz]] = []
        for _ in range(-(-exponent_bits // window)):
            row = [mpz(1)]
            for _ in range(1 << window):
                row.append(row[-1] * base % modulus)
            base = row.pop()
            self._rows.append(row)

    def power(self, digits: bytes) -> mpz:
        """base^e mod modulus, e given by its digits, the lowest first."""
        modulus = self._modulus
        result = mpz(1)
        for row, digit in zip(self._rows, digits, strict=True):
            result = result * row[digit] % modulus
        return result
