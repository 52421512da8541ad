"""What a protection is: what its sides say, who may take part, and both sides of a sum under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from algorithms.api.context import Context
from algorithms.api.conversation import Line
from algorithms.crypto.tags import Seal
from algorithms.encoding.encoder import Code, Kept
from algorithms.kit.named_vectors import Numbers
from party.ids import Role
from storage.client import Kind

Step: TypeAlias = tuple[int, int]  # which sum, which part of it; the last part is the first that is not full


class TrainerSide(Protocol):
    """Carries a trainer's numbers to the arbiter and everybody's sum back, one sum after the other, part by part."""

    def expect(self, code: Code, numbers: int) -> None:
        """A vector comes that is so many numbers of this code, side block included; before them perhaps some others."""

    def seal(self) -> Seal | None:
        """How the next sum is checked; None if the arbiter is believed."""

    def part_numbers(self, code: Code) -> int:
        """How many numbers a full part holds."""

    def send(self, step: Step, code: Code, numbers: Numbers) -> None:
        """A part of the own numbers."""

    def receive(self, step: Step, code: Code, count: int) -> Numbers | None:
        """A part of everybody's sum, `count` numbers; None if what came is no such sum, which is told at its end.

        Raises:
            ParametersDiffer, WrongKey, WrongLayout, BadCiphertext: What came is not what was agreed.
        """

    def kept(self) -> Kept:
        """What a checkpoint has to hold, between two sums."""


class ArbiterSide(Protocol):
    """Adds up what it is sent."""

    def add(self, step: int, code: Code) -> None:
        """One sum, given back to the trainers. Raises ParametersDiffer, WrongKey, WrongLayout, BadCiphertext."""


class Scheme(Protocol):
    """One way to protect vectors that are added up."""

    def lines(self, kind: Kind) -> tuple[Line, ...]:
        """The conversation; `kind` is that of the values in which numbers travel in the clear."""

    def check(self, parties: Mapping[Role, Sequence[str]]) -> None:
        """Raises RolesRefused if these parties must not take part in it."""

    def trainer(self, ctx: Context, vectors: int, common: bytes, kept: Kept) -> TrainerSide:
        """A trainer's side.

        Args:
            ctx: The trainer's context.
            vectors: About how many will be added up.
            common: What every trainer was told alike before, so that a difference is found.
            kept: What `kept` of an earlier side said, to go on from.

        Raises:
            BadKey, WrongKey: What others sent is no key for this.
        """

    def arbiter(self, ctx: Context) -> ArbiterSide:
        """The arbiter's side. Raises BadKey."""
