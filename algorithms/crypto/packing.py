"""Fixed-point numbers in the slots of a plaintext.

A real value v becomes the integer round(v * 2^scale) of `value_bits` bits, sign included. In a slot it is stored with
the offset 2^(value_bits - 1), so that a slot is never negative and never borrows from its neighbour; the guard bits
above it take the carries of `additions` vectors, so that it never lends either. The offset comes off again at
unpacking, once for each vector added. What does not fit is an error with its index, never silent.

Pure: integers in, integers out; the layout says all of it and travels with the vector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from algorithms.errors import NotFinite, ValueOutgrewLayout, WrongLayout

LAYOUT_SCHEMA = 1
EXACT_BITS = 33  # of a value: its rounding error is at most 2^-33 of the largest magnitude
MAX_SLOT_BITS = 62  # sums stay within a signed 64-bit integer with a bit to spare

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FixedPointLayout:
    """How a vector of numbers becomes integers, and integers share a plaintext.

    Attributes:
        value_bits: Bits of one value, sign included.
        scale: A value v is the integer round(v * 2^scale).
        additions: How many vectors may be added.
        slots: Values in one plaintext.
    """

    value_bits: int
    scale: int
    additions: int
    slots: int

    def __post_init__(self) -> None:
        if not (self.value_bits >= 2 and self.slot_bits <= MAX_SLOT_BITS and self.additions >= 1 and self.slots >= 1):
            raise WrongLayout(
                f"No layout has values of {self.value_bits} bits, {self.additions} additions and {self.slots} slots.",
                hint=f"A slot holds at most {MAX_SLOT_BITS} bits.",
            )

    @staticmethod
    def exact(largest: float, additions: int, key_bits: int, value_bits: int = EXACT_BITS) -> FixedPointLayout:
        """The layout for values of magnitude up to at least `largest`, as many as fit under a key of `key_bits`."""
        scale = value_bits - 1 - math.ceil(math.log2(largest))
        slot_bits = value_bits + _guard_bits(additions)
        return FixedPointLayout(value_bits, scale, additions, max(1, (key_bits - 1) // slot_bits))

    @property
    def slot_bits(self) -> int:
        """Value bits and guard bits."""
        return self.value_bits + _guard_bits(self.additions)

    @property
    def offset(self) -> int:
        """What is added to each value before it is packed."""
        return 1 << (self.value_bits - 1)

    @property
    def largest(self) -> float:
        """The largest magnitude a value may have."""
        return math.ldexp(self.offset - 1, -self.scale)

    def plaintexts(self, count: int) -> int:
        """How many plaintexts `count` values take."""
        return -(-count // self.slots)

    def fits(self, key_bits: int) -> bool:
        """Whether a full plaintext is below every modulus of `key_bits` bits."""
        return self.slots * self.slot_bits < key_bits

    def integers(self, values: Floats, name: str = "vector") -> Integers:
        """Fixed-point integers, rounded half to even. Raises NotFinite, ValueOutgrewLayout (name and index)."""
        require_finite(values, name)
        scaled = np.rint(np.ldexp(values, self.scale))
        outside = np.abs(scaled) >= self.offset
        if outside.any():
            index = int(np.argmax(outside))
            raise ValueOutgrewLayout(
                f"{name}[{index}] = {values[index]:.6g} is outside the layout's range of ±{self.largest:.6g}.",
                hint="Raise the parameter `value_range`, lower the learning rate, or standardise the features first.",
            )
        return scaled.astype(np.int64)

    def floats(self, integers: Integers) -> Floats:
        """The real values of fixed-point integers or of sums of them."""
        return np.ldexp(integers.astype(np.float64), -self.scale)

    def pack(self, integers: Integers) -> list[mpz]:
        """One plaintext for each `slots` integers, the first integer in the lowest slot."""
        count, bits = len(integers), self.slot_bits
        shifted = np.zeros(self.plaintexts(count) * self.slots, dtype=">u8")
        shifted[:count] = integers + self.offset
        wide = np.unpackbits(shifted.view(np.uint8).reshape(-1, 8), axis=1)[:, 64 - bits :]
        rows = np.packbits(_big_endian(wide.reshape(-1, self.slots, bits)), axis=1)
        return [mpz.from_bytes(row.tobytes(), "big") for row in rows]

    def unpack(self, plaintexts: Sequence[mpz], count: int, terms: int) -> Integers:
        """The first `count` integers of plaintexts that are sums of `terms` packed vectors. Raises WrongLayout."""
        bits, row_bytes = self.slot_bits, (self.slots * self.slot_bits + 7) // 8
        if len(plaintexts) != self.plaintexts(count) or not 1 <= terms <= self.additions:
            raise WrongLayout(f"{len(plaintexts)} plaintexts, {count} values and {terms} terms do not fit the layout.")
        if any(m.bit_length() > self.slots * bits for m in plaintexts):
            raise WrongLayout("A decrypted plaintext is larger than its layout.", hint="Was it made with this layout?")
        raw = b"".join(m.to_bytes(row_bytes, "big") for m in plaintexts)
        rows = np.unpackbits(np.frombuffer(raw, dtype=np.uint8).reshape(len(plaintexts), row_bytes), axis=1)
        wide = np.zeros((len(plaintexts) * self.slots, 64), dtype=np.uint8)
        used = rows[:, row_bytes * 8 - self.slots * bits :].reshape(-1, self.slots, bits)
        wide[:, 64 - bits :] = used[:, ::-1].reshape(-1, bits)
        shifted = np.packbits(wide, axis=1).view(">u8").ravel().astype(np.int64)
        integers = shifted[:count] - terms * self.offset
        if shifted[count:].any() or (np.abs(integers) > terms * (self.offset - 1)).any():
            raise WrongLayout(
                f"A decrypted vector is not a sum of {terms} packed ones.", hint="It was damaged or forged."
            )
        return integers

    def to_json(self, terms: int) -> str:
        """The layout and the number of vectors added so far, as it travels with a vector."""
        return json.dumps({"schema": LAYOUT_SCHEMA, **asdict(self), "terms": terms}, sort_keys=True)

    @staticmethod
    def parse(text: str) -> tuple[FixedPointLayout, int]:
        """The layout and terms of `to_json`. Raises WrongLayout."""
        try:
            fields = json.loads(text)
            schema = fields.pop("schema")
            terms = int(fields.pop("terms"))
            layout = FixedPointLayout(**{name: int(value) for name, value in fields.items()})
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise WrongLayout(f"'{text[:120]}' is not a layout.") from error
        if schema != LAYOUT_SCHEMA or not 1 <= terms <= layout.additions:
            raise WrongLayout(f"A layout of schema {schema} with {terms} terms; this version reads {LAYOUT_SCHEMA}.")
        return layout, terms


def require_finite(values: Floats, name: str) -> None:
    """Raises NotFinite with the index of the first NaN or infinity."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise NotFinite(
            f"{name}[{index}] is {values[index]}.",
            hint="Training diverged: lower the learning rate, standardise the features, or look for bad rows.",
        )


def _guard_bits(additions: int) -> int:
    return max(0, additions - 1).bit_length()


def _big_endian(slots: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of bits, whole bytes, the highest slot first."""
    rows, count, bits = slots.shape
    padding = -count * bits % 8
    flat = np.zeros((rows, padding + count * bits), dtype=np.uint8)
    flat[:, padding:] = slots[:, ::-1].reshape(rows, count * bits)
    return flat
