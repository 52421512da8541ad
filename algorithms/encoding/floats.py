"""Numbers as they are: float32 if the vector is, else float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from algorithms.api.errors import ParametersDiffer
from algorithms.crypto.packing import require_finite
from algorithms.encoding.encoder import Add, Kept
from algorithms.encoding.settings import EncodingSettings
from algorithms.kit.named_vectors import NamedVectors, Numbers, Piece
from algorithms.kit.side_block import FLOAT_LIMB_BITS
from storage.client import Kind, Value


class FloatCode:
    """A vector of floats."""

    kind = Kind.ARRAY
    limb_bits = FLOAT_LIMB_BITS

    def write(self, numbers: Numbers, terms: int) -> Value:  # noqa: ARG002  floats do not say it
        """As they are."""
        return numbers

    def read(self, value: Value, terms: int, sender: str) -> Numbers:  # noqa: ARG002  floats do not say it
        """Raises ParametersDiffer."""
        if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
            raise ParametersDiffer(
                f"{sender} did not send a float32 or float64 vector.", hint="Give all parties the same `protection`."
            )
        return value


class FloatEncoder:
    """Nothing is rounded; what is not finite is named before it is sent and when it comes."""

    codes = (FloatCode(),)
    dtype: np.dtype[Any] = np.dtype(np.float64)

    def begin(self, vector: NamedVectors, draw: Callable[[], np.random.Generator], add: Add) -> None:  # noqa: ARG002
        """Raises NotFinite."""
        self.dtype = vector.dtype
        for piece in vector.pieces(0, vector.count):
            require_finite(self.encode(piece), piece.name, piece.start)

    def encode(self, piece: Piece) -> Numbers:
        """In the vector's own precision."""
        return piece.weighted(self.dtype)

    def decode(self, numbers: Numbers, at: int) -> Numbers:
        """Raises NotFinite."""
        require_finite(numbers, "sum", at)
        return numbers

    def kept(self) -> Kept:
        """Nothing."""
        return {}


def encoder(settings: EncodingSettings, trainers: int, kept: Kept) -> FloatEncoder:  # noqa: ARG001  all are alike
    """For every job the same."""
    return FloatEncoder()
