"""Rounding numbers for their way through an encrypted sum: to the nearest, or to 16 bits with error feedback.

Sources: Alistarh et al. 2017, "QSGD", arXiv:1610.02132, section 3.1 (stochastic rounding is unbiased); Seide et al.
2014, "1-Bit Stochastic Gradient Descent", and Karimireddy et al. 2019, arXiv:1901.09847, Algorithm 2 (what rounding
took is added to the next vector).

Sixteen bits are few, so `FeedbackRounding` gives them a range that follows the sums: 2^e with e from the largest
value of the sum before, which every trainer knows and the arbiter does not. Values are divided by 2^e before they are
rounded; a value beyond the range is sent as its end, and the rest of it goes with the next sum. A value beyond the
range that the job allows is an error in both, never silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.crypto.packing import FixedPointLayout, Floats, Integers, require_finite, require_within

MARGIN_BITS = 3  # the range is at most 2^3 times what the last sum would have needed
DEEPEST_BITS = 40  # how far the range may shrink below the one that the job allows
Kept = Mapping[str, Any]


class Rounding(Protocol):
    """From numbers to the integers of a layout and back, vector after vector of the same length."""

    @property
    def layout(self) -> FixedPointLayout:
        """How the integers are packed."""

    def begin(self, count: int, rng: Callable[[], np.random.Generator]) -> None:
        """The next vector has `count` values; what is drawn for it, if anything, comes from what `rng` returns."""

    def integers(self, values: Floats, name: str, start: int, at: int) -> Integers:
        """Integers of a piece of the vector that begins at `at`; in errors it is `name` from index `start` on.

        Raises:
            NotFinite, ValueOutgrewLayout: With name and index.
        """

    def floats(self, integers: Integers) -> Floats:
        """The numbers of a piece of the sum."""

    def kept(self) -> Kept:
        """What a checkpoint has to hold, between two vectors."""


class NearestRounding:
    """To the nearest number of the layout; nothing is kept."""

    def __init__(self, layout: FixedPointLayout) -> None:
        self.layout = layout

    def begin(self, count: int, rng: Callable[[], np.random.Generator]) -> None:
        """Nothing is drawn."""

    def integers(self, values: Floats, name: str, start: int, at: int) -> Integers:  # noqa: ARG002  no place is kept
        """Rounded half to even. Raises NotFinite, ValueOutgrewLayout."""
        return self.layout.integers(values, name, start)

    def floats(self, integers: Integers) -> Floats:
        """Exact."""
        return self.layout.floats(integers)

    def kept(self) -> Kept:
        """Nothing."""
        return {}


class FeedbackRounding:
    """To the 16 bits of a compact layout, up or down by chance; what is lost is added to the next vector.

    Args:
        layout: A compact layout for values of magnitude up to 1.
        largest: The largest magnitude a value may have; the first vector's range.
        kept: What an earlier object kept, to go on from.
    """

    def __init__(self, layout: FixedPointLayout, largest: float, kept: Kept | None = None) -> None:
        self.layout = layout
        self._largest = largest
        self._exponent = math.ceil(math.log2(largest))
        self._residual: NDArray[np.float32] | None = None
        if kept:
            self._exponent = min(int(kept["exponent"]), self._exponent)
            self._residual = np.array(kept["residual"], dtype=np.float32)
        self._rng = np.random.default_rng(0)
        self._sum_largest: float | None = None  # of the sum that came last, until the range has followed it

    def begin(self, count: int, rng: Callable[[], np.random.Generator]) -> None:
        """The range follows from the sum before."""
        if self._residual is None or len(self._residual) != count:
            self._residual = np.zeros(count, dtype=np.float32)
        self._rng = rng()
        self._follow()

    def integers(self, values: Floats, name: str, start: int, at: int) -> Integers:
        """Rounded up with the probability of the fraction. Raises NotFinite, ValueOutgrewLayout."""
        require_finite(values, name, start)
        place = self._place(at, len(values))
        wanted = values + place
        require_within(np.abs(wanted) <= self._largest, wanted, self._largest, name, start)
        shift = self.layout.scale - self._exponent
        scaled = np.ldexp(wanted, shift)
        rounded = np.floor(scaled + self._rng.random(len(scaled)))
        end = self.layout.offset - 1
        np.clip(rounded, -end, end, out=rounded)
        place[:] = wanted - np.ldexp(rounded, -shift)
        return rounded.astype(np.int64)

    def floats(self, integers: Integers) -> Floats:
        """The sum's numbers; the largest of them sets the next range."""
        numbers = np.ldexp(integers.astype(np.float64), self._exponent - self.layout.scale)
        self._sum_largest = max(self._sum_largest or 0.0, float(np.abs(numbers).max(initial=0.0)))
        return numbers

    def kept(self) -> Kept:
        """The range of the next vector, and what rounding took so far."""
        self._follow()
        return {"exponent": self._exponent, "residual": self._residual}

    def _follow(self) -> None:
        if self._sum_largest is None:
            return
        most = math.ceil(math.log2(self._largest))
        if self._sum_largest:
            self._exponent = min(math.ceil(math.log2(self._sum_largest)) + MARGIN_BITS, most)
        else:  # every value was too small for its range
            self._exponent = max(self._exponent - MARGIN_BITS, most - DEEPEST_BITS)
        self._sum_largest = None

    def _place(self, at: int, count: int) -> NDArray[np.float32]:
        if self._residual is None:
            raise RuntimeError("`begin` comes before `integers`.")
        return self._residual[at : at + count]
