"""Fixed-point numbers in the slots of a plaintext.

A real value v becomes the integer round(v * 2^scale) of `value_bits` bits, sign included. In a slot it is stored with
the offset 2^(value_bits - 1), so that a slot is never negative and never borrows from its neighbour; the guard bits
above it take the carries of `additions` vectors (one with the integer weight k counts as k), so that it never lends
either. The offset comes off again at unpacking, once for each vector added. What does not fit is an error with its
index, never silent.

Pure: integers in, rows of bytes out, a few hundred at a time; the layout says all of it and travels with the vector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import NotFinite, ValueOutgrewLayout, WrongLayout

LAYOUT_SCHEMA = 1
EXACT_BITS = 33  # of a value: rounding moves it by at most 2^-32 of the range asked for
COMPACT_BITS = 16
MAX_SLOT_BITS = 62  # sums stay within a signed 64-bit integer with a bit to spare
MOST_IN_A_LAYOUT = 1 << 32  # of any of its numbers
ROWS_AT_ONCE = 64  # bits are handled as bytes, eight times the size, which should stay in the cache

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = NDArray[np.uint8]


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
    def exact(largest: float, additions: int, key_bits: int = 0, value_bits: int = EXACT_BITS) -> FixedPointLayout:
        """The layout for values of magnitude below `largest`, as many as fit under a key of `key_bits`, or one."""
        scale = value_bits - 1 - math.ceil(math.log2(largest))
        return FixedPointLayout(value_bits, scale, additions, slots=1).under(key_bits)

    @staticmethod
    def compact(largest: float, additions: int, key_bits: int = 0) -> FixedPointLayout:
        """The same with 16 bits a value, for `algorithms.encoding.compact`, which keeps what rounding takes."""
        return FixedPointLayout.exact(largest, additions, key_bits, COMPACT_BITS)

    def under(self, key_bits: int) -> FixedPointLayout:
        """The same with as many values in a plaintext as fit under a key of `key_bits`."""
        return replace(self, slots=max(1, (key_bits - 1) // self.slot_bits))

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

    @property
    def row_bytes(self) -> int:
        """A full plaintext fits into this many bytes."""
        return (self.slots * self.slot_bits + 7) // 8

    def fits(self, key_bits: int) -> bool:
        """Whether a full plaintext is below every modulus of `key_bits` bits."""
        return self.slots * self.slot_bits < key_bits

    def integers(self, values: Floats, name: str = "vector", start: int = 0) -> Integers:
        """Fixed-point integers, rounded half to even; `start` is the index of the first value, for errors.

        Raises:
            NotFinite, ValueOutgrewLayout: With name and index.
        """
        require_finite(values, name, start)
        with np.errstate(over="ignore"):  # what gets infinite here is outside in any case
            scaled = np.rint(np.ldexp(values, self.scale))
        require_within(np.abs(scaled) < self.offset, values, self.largest, name, start)
        return scaled.astype(np.int64)

    def floats(self, integers: Integers) -> Floats:
        """The real values of fixed-point integers or of sums of them."""
        numbers: Floats = np.ldexp(integers, -self.scale)
        return numbers

    def pack(self, integers: Integers, row_bytes: int) -> Rows:
        """One plaintext of `row_bytes`, big-endian, for each `slots` integers, the first one in the lowest slot.

        Raises WrongLayout for an integer that no value of this layout has.
        """
        if len(integers) and max(-int(integers.min()), int(integers.max())) >= self.offset:
            raise WrongLayout(f"An integer to be packed is not between -{self.offset} and {self.offset}.")
        rows: Rows = np.zeros((self.plaintexts(len(integers)), row_bytes), dtype=np.uint8)
        for first, last in _pieces(len(rows)):
            piece = integers[first * self.slots : last * self.slots]
            shifted = np.zeros((last - first) * self.slots, dtype=">u8")
            shifted[: len(piece)] = piece + self.offset
            wide = np.unpackbits(shifted.view(np.uint8).reshape(-1, 8), axis=1)[:, 64 - self.slot_bits :]
            packed = np.packbits(self._highest_first(wide), axis=1)
            rows[first:last, row_bytes - packed.shape[1] :] = packed
        return rows

    def unpack(self, rows: Rows, count: int, terms: int) -> Integers:
        """The first `count` integers of plaintexts that are sums of `terms` packed vectors. Raises WrongLayout."""
        if len(rows) != self.plaintexts(count) or not 1 <= terms <= self.additions:
            raise WrongLayout(f"{len(rows)} plaintexts, {count} values and {terms} terms do not fit the layout.")
        integers = np.empty(count, dtype=np.int64)
        for first, last in _pieces(len(rows)):
            integers[first * self.slots : last * self.slots] = self._unpacked(
                rows[first:last], min(count, last * self.slots) - first * self.slots, terms
            )
        return integers

    def _unpacked(self, rows: Rows, count: int, terms: int) -> Integers:
        bits, row_bits = self.slot_bits, rows.shape[1] * 8
        flat = np.unpackbits(rows, axis=1)
        if flat[:, : row_bits - self.slots * bits].any():
            raise WrongLayout("A decrypted plaintext is larger than its layout.", hint="Was it made with this layout?")
        wide = np.zeros((len(rows) * self.slots, 64), dtype=np.uint8)
        used = flat[:, row_bits - self.slots * bits :].reshape(-1, self.slots, bits)
        wide[:, 64 - bits :] = used[:, ::-1].reshape(-1, bits)
        shifted = np.packbits(wide, axis=1).view(">u8").ravel().astype(np.int64)
        integers = shifted[:count] - terms * self.offset
        if shifted[count:].any() or (np.abs(integers) > terms * (self.offset - 1)).any():
            raise WrongLayout(
                f"A decrypted vector is not a sum of {terms} packed ones.", hint="It was damaged or forged."
            )
        return integers

    def _highest_first(self, wide: Rows) -> Rows:
        """Rows of bits, whole bytes, the highest slot first, from the bits of each slot in turn."""
        slots = wide.reshape(-1, self.slots, self.slot_bits)
        used = self.slots * self.slot_bits
        flat: Rows = np.zeros((len(slots), self.row_bytes * 8), dtype=np.uint8)
        flat[:, self.row_bytes * 8 - used :] = slots[:, ::-1].reshape(len(slots), used)
        return flat

    def to_json(self, terms: int) -> str:
        """The layout and the number of vectors added so far, as it travels with a vector."""
        return json.dumps({"schema": LAYOUT_SCHEMA, **asdict(self), "terms": terms}, sort_keys=True)

    @staticmethod
    def parse(text: str) -> tuple[FixedPointLayout, int]:
        """The layout and terms of `to_json`. Raises WrongLayout."""
        try:
            fields = json.loads(text)
            if not all(type(value) is int and abs(value) <= MOST_IN_A_LAYOUT for value in fields.values()):
                raise TypeError("a number was expected")
            schema, terms = fields.pop("schema"), fields.pop("terms")
            layout = FixedPointLayout(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise WrongLayout(f"'{text[:120]}' is not a layout.") from error
        if schema != LAYOUT_SCHEMA or not 1 <= terms <= layout.additions:
            raise WrongLayout(f"A layout of schema {schema} with {terms} terms; this version reads {LAYOUT_SCHEMA}.")
        return layout, terms


def require_finite(values: Floats, name: str, start: int = 0) -> None:
    """Raises NotFinite with the index of the first NaN or infinity; `start` is that of the first value."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise NotFinite(
            f"{name}[{start + index}] is {values[index]}.",
            hint="Training diverged: lower the learning rate, standardise the features, or look for bad rows.",
        )


def require_within(inside: NDArray[np.bool_], values: Floats, largest: float, name: str, start: int) -> None:
    """Raises ValueOutgrewLayout with the index of the first value that is not `inside`."""
    if not inside.all():
        index = int(np.argmin(inside))
        raise ValueOutgrewLayout(
            f"{name}[{start + index}] = {values[index]:.6g} is outside the layout's range of ±{largest:.6g}.",
            hint="Go on with a wider one (`flow job resume JOB --set TASK.encoding.value_range=...`), lower the "
            "learning rate, or standardise the features first.",
        )


def _guard_bits(additions: int) -> int:
    return max(0, additions - 1).bit_length()


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    for first in range(0, rows, ROWS_AT_ONCE):
        yield first, min(first + ROWS_AT_ONCE, rows)
