"""Random powers of one fixed base, from tables made once.

Source: Lim, Lee 1994, "More Flexible Exponentiation with Precomputation", CRYPTO. The exponent's bits are written in
`ROWS` rows of `columns` bits, lowest row first; a digit is a column, one byte. A table holds base^(sum of the rows'
weights in the digit) for each digit of one column; `depth` columns share it and are told apart by a squaring each. So
a power costs a multiplication a column and `depth` - 1 squarings, and tables hold 256 / `depth` numbers a column:
deeper tables are cheaper to make and need less memory, `best_depth` says which is best for the powers expected.
"""

from __future__ import annotations

from gmpy2 import mpz, powmod

ROWS = 8  # a digit is a byte
DEPTHS = (2, 4, 8, 16, 32, 64, 128)
MOST_TABLES = 16  # of 256 numbers; twice as many would save some 3 % of a power


def columns_of(exponent_bits: int) -> int:
    """How many columns, and so bytes of digits, an exponent of that length takes."""
    return -(-exponent_bits // ROWS)


def best_depth(columns: int, powers: int) -> int:
    """The depth that makes tables and then `powers` powers with the fewest multiplications."""
    tables = {depth: -(-columns // depth) for depth in DEPTHS}
    allowed = [depth for depth in DEPTHS if tables[depth] <= MOST_TABLES]
    return min(allowed, key=lambda depth: tables[depth] * (1 << ROWS) + powers * (columns + depth))


def digits_of(exponent: mpz, columns: int) -> bytes:
    """The digits of an exponent. Digits drawn uniformly are those of a uniform exponent and need no number."""
    bits = exponent.digits(2).zfill(ROWS * columns).encode()  # "0" and "1" differ in the lowest bit of the byte
    lowest, whole = int.from_bytes(b"\1" * columns, "big"), 0
    for row in range(ROWS):
        whole = whole << 1 | int.from_bytes(bits[row * columns : (row + 1) * columns], "big") & lowest
    return whole.to_bytes(columns, "big")[::-1]


class FixedBase:
    """The tables of one base and modulus, for exponents of `columns` digits."""

    def __init__(self, base: mpz, modulus: mpz, *, columns: int, depth: int) -> None:
        self._modulus = modulus
        self._depth = depth
        self._tables: list[list[mpz]] = []
        weights = [base]
        for _ in range(ROWS - 1):
            weights.append(powmod(weights[-1], mpz(1) << columns, modulus))
        for _ in range(0, columns, depth):
            table = [mpz(1)]
            for weight in weights:
                table += [entry * weight % modulus for entry in table]
            self._tables.append(table)
            weights = [powmod(weight, mpz(1) << depth, modulus) for weight in weights]

    def power(self, digits: bytes) -> mpz:
        """base^exponent mod modulus, of the exponent with these digits, the lowest column's first."""
        modulus, result = self._modulus, mpz(1)
        for place in reversed(range(self._depth)):
            result = result * result % modulus
            for table, digit in zip(self._tables, digits[place :: self._depth], strict=False):  # the last is not full
                result = result * table[digit] % modulus
        return result
