"""Fixed point, rounded to the nearest: whole numbers of 33 bits, so that no order of additions changes a sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.api.errors import ParametersDiffer, WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Floats, Integers
from algorithms.encoding.encoder import Add, Kept
from algorithms.encoding.settings import EncodingSettings
from algorithms.kit.named_vectors import NamedVectors, Numbers, Piece
from storage.client import Kind, Value


@dataclass(frozen=True)
class FixedPointCode:
    """The integers of a layout; in the clear a record, which says of how many vectors they are the sum."""

    layout: FixedPointLayout
    kind = Kind.RECORD

    @property
    def limb_bits(self) -> int:
        """As many as a value has."""
        return self.layout.value_bits - 1

    def write(self, numbers: Numbers, terms: int) -> Value:
        """With the layout beside them."""
        return {"layout": self.layout.to_json(terms), "integers": numbers}

    def read(self, value: Value, terms: int, sender: str) -> Integers:
        """Raises ParametersDiffer, WrongLayout."""
        if not isinstance(value, Mapping):
            raise ParametersDiffer(f"{sender} did not send a record, but {type(value).__name__}.")
        found, said = FixedPointLayout.parse(str(value.get("layout")))
        integers = value.get("integers")
        if found != self.layout or not isinstance(integers, np.ndarray) or integers.dtype != np.int64:
            raise WrongLayout(
                f"A vector in {found} does not go with {self.layout}.", hint="Give all parties the same parameters."
            )
        if said != terms:
            raise WrongLayout(f"What {sender} sent has {said} terms, not {terms}.")
        if integers.size and max(-int(integers.min()), int(integers.max())) > terms * (self.layout.offset - 1):
            raise WrongLayout(f"An integer is larger than those of {terms} vectors in {self.layout}.")
        return integers


class ExactEncoder:
    """To the nearest number of the layout; nothing is kept."""

    dtype: np.dtype[Any] = np.dtype(np.int64)

    def __init__(self, layout: FixedPointLayout) -> None:
        self._layout = layout
        self.codes = (FixedPointCode(layout),)

    def begin(self, vector: NamedVectors, draw: Callable[[], np.random.Generator], add: Add) -> None:  # noqa: ARG002
        """Raises NotFinite, ValueOutgrewLayout."""
        for piece in vector.pieces(0, vector.count):
            self._layout.integers(piece.weighted(), piece.name, piece.start)

    def encode(self, piece: Piece) -> Integers:
        """Rounded half to even."""
        return self._layout.integers(piece.weighted())

    def decode(self, numbers: Integers, at: int) -> Floats:  # noqa: ARG002  no place is kept
        """Exact."""
        return self._layout.floats(numbers)

    def kept(self) -> Kept:
        """Nothing."""
        return {}


def encoder(settings: EncodingSettings, trainers: int, kept: Kept) -> ExactEncoder:  # noqa: ARG001  nothing is kept
    """For numbers as large as the settings say."""
    return ExactEncoder(FixedPointLayout.exact(settings.value_range, trainers))
