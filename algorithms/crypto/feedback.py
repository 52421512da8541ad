"""Rounding numbers for their way through an encrypted sum: to the nearest, or to 16 bits with error feedback.

Sources: Alistarh et al. 2017, "QSGD", arXiv:1610.02132, section 3.1 (stochastic rounding is unbiased); Seide et al.
2014, "1-Bit Stochastic Gradient Descent", and Karimireddy et al. 2019, arXiv:1901.09847, Algorithm 2 (what rounding
took is added to the next vector).

Sixteen bits are few, so `FeedbackRounding` wants to be told, before each vector, a range that covers every trainer's
vector: the trainers add up the largest magnitudes in their vectors (in the exact way, which is one encrypted number
more), and the sum of these bounds every single one, whatever cancels out in the sum of the vectors. The trainers learn
that sum, the arbiter nothing: values are divided by the range before they are rounded. A value beyond the range that
the job allows is an error in both, never silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from algorithms.crypto.packing import FixedPointLayout, Floats, Integers, require_finite, require_within

Kept = Mapping[str, Any]


class Rounding(Protocol):
    """From numbers to the integers of a layout and back, vector after vector of the same length."""

    @property
    def layout(self) -> FixedPointLayout:
        """How the integers are packed."""

    def begin(self, count: int, rng: Callable[[], np.random.Generator]) -> None:
        """The next vector has `count` values; what is drawn for it, if anything, comes from what `rng` returns."""

    def look(self, values: Floats, name: str, start: int, at: int) -> None:
        """See every piece of the vector before any is rounded; this one begins at `at`, in `name` at index `start`.

        Raises:
            NotFinite, ValueOutgrewLayout: With name and index.
        """

    def integers(self, values: Floats, at: int) -> Integers:
        """Integers of a piece of the vector that begins at `at`."""

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

    def look(self, values: Floats, name: str, start: int, at: int) -> None:  # noqa: ARG002  no place is kept
        """Raises NotFinite, ValueOutgrewLayout."""
        self.layout.integers(values, name, start)

    def integers(self, values: Floats, at: int) -> Integers:  # noqa: ARG002  no place is kept
        """Rounded half to even."""
        return self.layout.integers(values)

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
        largest: Every value's magnitude must be below this.
        kept: What an earlier object kept, to go on from.
    """

    def __init__(self, layout: FixedPointLayout, largest: float, kept: Kept | None = None) -> None:
        self.layout = layout
        self.seen = 0.0  # the largest magnitude in the vector, with what rounding took before
        self._largest = largest
        self._shift = 0
        self._residual = np.array(kept["residual"] if kept else [], dtype=np.float32)
        self._rng = np.random.default_rng(0)

    def begin(self, count: int, rng: Callable[[], np.random.Generator]) -> None:
        """What was left over belongs to a vector of the same length; of another one nothing is known."""
        if len(self._residual) != count:
            self._residual = np.zeros(count, dtype=np.float32)
        self._rng, self.seen = rng(), 0.0

    def look(self, values: Floats, name: str, start: int, at: int) -> None:
        """Raises NotFinite, ValueOutgrewLayout."""
        require_finite(values, name, start)
        require_within(np.abs(values) < self._largest, values, self._largest, name, start)
        wanted = values + self._residual[at : at + len(values)]
        self.seen = max(self.seen, float(np.abs(wanted).max(initial=0.0)))

    def cover(self, bound: float) -> None:
        """No trainer has seen more than `bound` in this vector: its range is the next power of two."""
        self._shift = self.layout.scale - (math.ceil(math.log2(bound)) if bound > 0 else 0)

    def integers(self, values: Floats, at: int) -> Integers:
        """Rounded up with the probability of the fraction."""
        place = self._residual[at : at + len(values)]
        wanted = values + place
        scaled = np.ldexp(wanted, self._shift)
        rounded = np.floor(scaled + self._rng.random(len(scaled)))
        end = self.layout.offset - 1
        np.clip(rounded, -end, end, out=rounded)  # the range's own edge is one step too far
        place[:] = wanted - np.ldexp(rounded, -self._shift)
        return rounded.astype(np.int64)

    def floats(self, integers: Integers) -> Floats:
        """The sum's numbers."""
        numbers: Floats = np.ldexp(integers, -self._shift)
        return numbers

    def kept(self) -> Kept:
        """What rounding took so far."""
        return {"residual": self._residual}
