"""Fixed point in 16 bits: rounded up or down by chance, and what that took is added to the next vector.

Sources: Alistarh et al. 2017, "QSGD", arXiv:1610.02132, section 3.1 (stochastic rounding is unbiased); Seide et al.
2014, "1-Bit Stochastic Gradient Descent", and Karimireddy et al. 2019, arXiv:1901.09847, Algorithm 2 (what rounding
took is added to the next vector).

Sixteen bits are few, so each vector is preceded by a sum that finds a range which covers every trainer's vector,
whatever cancels out in their sum. Each trainer marks the power of two that its largest magnitude is below, in `RANGES`
numbers that are added up as any other vector; the highest one marked is the range. The trainers learn how many of them
lie in which power of two, the arbiter nothing: values are divided by the range before they are rounded. A value beyond
the range that the job allows is an error, never silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Floats, Integers, require_finite, require_within
from algorithms.encoding.encoder import Add, Kept
from algorithms.encoding.exact import ExactEncoder, FixedPointCode
from algorithms.encoding.settings import EncodingSettings
from algorithms.kit.named_vectors import NamedVectors, Piece

RANGES = 128
LOWEST_RANGE = -86  # 2^-86; what is smaller is below it too. The highest is 2^41, twice the widest a job may allow


class CompactEncoder:
    """To the 16 bits of a compact layout.

    Args:
        largest: Every value's magnitude must be below this.
        trainers: How many vectors are added.
        kept: What an earlier object kept, to go on from.
    """

    dtype: np.dtype[Any] = np.dtype(np.int64)

    def __init__(self, largest: float, trainers: int, kept: Kept) -> None:
        self.seen = 0.0  # the largest magnitude in the vector, with what rounding took before
        self._layout = FixedPointLayout.compact(1.0, trainers)
        self._marks = ExactEncoder(FixedPointLayout.exact(2.0, trainers, value_bits=2))
        self.codes = (*self._marks.codes, FixedPointCode(self._layout))
        self._trainers = trainers
        self._largest = largest
        self._shift = self._layout.scale
        self._residual = np.array(kept.get("residual", ()), dtype=np.float32)
        self._rng = np.random.default_rng(0)

    def begin(self, vector: NamedVectors, draw: Callable[[], np.random.Generator], add: Add) -> None:
        """Raises NotFinite, ValueOutgrewLayout; WrongLayout if the ranges are not everybody's."""
        self.look(vector, draw)
        self.cover(add(self._marks, {"range": self.mark()}))

    def look(self, vector: NamedVectors, draw: Callable[[], np.random.Generator]) -> None:
        """What was left over belongs to a vector of the same length; of another one nothing is known.

        Raises NotFinite, ValueOutgrewLayout.
        """
        if len(self._residual) != vector.count:
            self._residual = np.zeros(vector.count, dtype=np.float32)
        self._rng, self.seen = draw(), 0.0
        for piece in vector.pieces(0, vector.count):
            values = piece.weighted()
            require_finite(values, piece.name, piece.start)
            require_within(np.abs(values) < self._largest, values, self._largest, piece.name, piece.start)
            wanted = values + self._left_over(piece)
            self.seen = max(self.seen, float(np.abs(wanted).max(initial=0.0)))

    def mark(self) -> Floats:
        """A one where the power of two stands that `seen` is below, of `RANGES` zeros, to be added up."""
        marks = np.zeros(RANGES)
        marks[self._place()] = 1.0
        return marks

    def cover(self, marks: Floats) -> None:
        """Take the range from the sum of all trainers' marks. Raises WrongLayout if it cannot be that sum."""
        if marks.min() < 0 or marks.sum() != self._trainers or marks[self._place()] < 1:
            raise WrongLayout(
                f"The ranges received are not those of {self._trainers} trainers, this one among them.",
                hint="A trainer or a key holder does not keep to the protocol.",
            )
        self._shift = self._layout.scale - (LOWEST_RANGE + int(np.flatnonzero(marks)[-1]))

    def encode(self, piece: Piece) -> Integers:
        """Rounded up with the probability of the fraction."""
        place = self._left_over(piece)
        wanted = piece.weighted() + place
        scaled = np.ldexp(wanted, self._shift)
        rounded: Floats = np.floor(scaled + self._rng.random(len(scaled)))
        end = self._layout.offset - 1
        np.clip(rounded, -end, end, out=rounded)  # the range's own edge is one step too far
        place[:] = wanted - np.ldexp(rounded, -self._shift)
        return rounded.astype(np.int64)

    def decode(self, numbers: Integers, at: int) -> Floats:  # noqa: ARG002  one range for all
        """The sum's values."""
        values: Floats = np.ldexp(numbers, -self._shift)
        return values

    def kept(self) -> Kept:
        """What rounding took so far."""
        return {"residual": self._residual}

    def _left_over(self, piece: Piece) -> NDArray[np.float32]:
        """What rounding took before of these values, as a view."""
        return self._residual[piece.at : piece.at + len(piece.values)]

    def _place(self) -> int:
        return max(math.frexp(self.seen)[1] - LOWEST_RANGE, 0) if self.seen else 0


def encoder(settings: EncodingSettings, trainers: int, kept: Kept) -> CompactEncoder:
    """For numbers as large as the settings say."""
    return CompactEncoder(settings.value_range, trainers, kept)
