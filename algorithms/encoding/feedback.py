"""Rounding numbers for their way through an encrypted sum: to the nearest, or to 16 bits with error feedback.

Sources: Alistarh et al. 2017, "QSGD", arXiv:1610.02132, section 3.1 (stochastic rounding is unbiased); Seide et al.
2014, "1-Bit Stochastic Gradient Descent", and Karimireddy et al. 2019, arXiv:1901.09847, Algorithm 2 (what rounding
took is added to the next vector).

Sixteen bits are few, so `FeedbackRounding` wants to be told, before each vector, a range that covers every trainer's
vector, whatever cancels out in their sum. Each trainer marks the power of two that its largest magnitude is below, in
`RANGES` numbers that are added up as any other vector; the highest one marked is the range. The trainers learn how many
of them lie in which power of two, the arbiter nothing: values are divided by the range before they are rounded. A value
beyond the range that the job allows is an error in both, never silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from algorithms.api.errors import WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Floats, Integers, require_finite, require_within

Kept = Mapping[str, Any]
RANGES = 128
LOWEST_RANGE = -86  # 2^-86; what is smaller is below it too. The highest is 2^41, twice the widest a job may allow


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
        self._shift = layout.scale
        self._residual = np.array((kept or {}).get("residual", ()), dtype=np.float32)
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

    def mark(self) -> Floats:
        """A one where the power of two stands that `seen` is below, of `RANGES` zeros, to be added up."""
        marks = np.zeros(RANGES)
        marks[self._place()] = 1.0
        return marks

    def cover(self, marks: Floats, trainers: int) -> None:
        """Take the range from the sum of all trainers' marks. Raises WrongLayout if it cannot be that sum."""
        if marks.min() < 0 or marks.sum() != trainers or marks[self._place()] < 1:
            raise WrongLayout(
                f"The ranges received are not those of {trainers} trainers, this one among them.",
                hint="A trainer or a key holder does not keep to the protocol.",
            )
        self._shift = self.layout.scale - (LOWEST_RANGE + int(np.flatnonzero(marks)[-1]))

    def _place(self) -> int:
        return max(math.frexp(self.seen)[1] - LOWEST_RANGE, 0) if self.seen else 0

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
