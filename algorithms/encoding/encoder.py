"""What an encoding is: the form in which numbers travel, and a trainer's way from its vectors into it and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from algorithms.kit.named_vectors import NamedVectors, Numbers, Piece, Vectors
from storage.client import Kind, Value

Kept: TypeAlias = Mapping[str, Any]


class Code(Protocol):
    """The form in which numbers travel, known to all sides; they can be added up in it."""

    @property
    def kind(self) -> Kind:
        """The kind of value that holds some of them."""

    @property
    def limb_bits(self) -> int:
        """Bits of a whole number that travels, without its sign."""

    def write(self, numbers: Numbers, terms: int) -> Value:
        """Numbers to send, which are the sum of so many vectors."""

    def read(self, value: Value, terms: int, sender: str) -> Numbers:
        """What `write` was given. Raises ParametersDiffer, WrongLayout."""


Add: TypeAlias = Callable[["Encoder", Vectors], Numbers]  # the sum of everybody's, written by another encoder


class Encoder(Protocol):
    """A trainer's vectors into numbers that are added up, and sums back; vector after vector of the same length."""

    @property
    def codes(self) -> tuple[Code, ...]:
        """Of the sums that one vector takes, in order; the last is its own."""

    @property
    def dtype(self) -> DTypeLike:
        """Of the numbers that it becomes, once it has begun."""

    def begin(self, vector: NamedVectors, draw: Callable[[], np.random.Generator], add: Add) -> None:
        """See all of the next vector before any of it is sent.

        `draw` gives randomness of its own; `add` adds up what must be known first, once for each code but the last.

        Raises:
            NotFinite, ValueOutgrewLayout: With the array's name and the index in it.
        """

    def encode(self, piece: Piece) -> Numbers:
        """The numbers that stand for a piece of the vector."""

    def decode(self, numbers: Numbers, at: int) -> Numbers:
        """The values of some of the sum's numbers, which begin at place `at`. Raises NotFinite."""

    def kept(self) -> Kept:
        """What a checkpoint has to hold, between two vectors."""
