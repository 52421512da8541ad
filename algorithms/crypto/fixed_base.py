"""Random powers of one fixed base, from a table made once.

Source: Brickell, Gordon, McCurley, Wilson 1992, "Fast Exponentiation with Precomputation", the simple windowed form.
The exponent is cut into digits of `window` bits; the table holds base^(digit * 2^(window * position)) for each digit
and position, so that a power costs one multiplication a position and no squaring. The larger the table, the cheaper
a power: `best_window` balances the two for the number of powers expected.
"""

from __future__ import annotations

from gmpy2 import mpz

WINDOWS = (1, 2, 4, 8)  # what a byte is cut into without a rest; 2^8 * 128 entries of 256 bytes are 8 MiB
_SPLIT = {w: [bytes(byte >> at & ((1 << w) - 1) for at in range(0, 8, w)) for byte in range(256)] for w in WINDOWS}


def best_window(exponent_bits: int, powers: int) -> int:
    """The window that makes a table and then `powers` powers with the fewest multiplications."""
    return min(WINDOWS, key=lambda window: -(-exponent_bits // window) * ((1 << window) + powers))


class FixedBase:
    """The table of one base and modulus, for exponents of up to `exponent_bits` bits, a multiple of 8."""

    def __init__(self, base: mpz, modulus: mpz, *, window: int, exponent_bits: int) -> None:
        self._modulus = modulus
        self._split = None if window == 8 else _SPLIT[window]  # a byte is a digit then
        self._rows: list[list[mpz]] = []
        for _ in range(exponent_bits // window):
            row = [mpz(1)]
            for _ in range(1 << window):
                row.append(row[-1] * base % modulus)
            base = row.pop()
            self._rows.append(row)

    def power(self, exponent: bytes) -> mpz:
        """base^exponent mod modulus, the exponent given little-endian in `exponent_bits` / 8 bytes."""
        modulus = self._modulus
        digits = exponent if self._split is None else b"".join(map(self._split.__getitem__, exponent))
        result = mpz(1)
        for row, digit in zip(self._rows, digits, strict=True):
            result = result * row[digit] % modulus
        return result
