"""What every component has that adds up the trainers' vectors: parameters, conversation, roles, rules.

Each trainer weights its vectors, writes them (`algorithms.encoding`) and gives them, protected
(`algorithms.protection`), to the arbiter, who adds and gives the sum back to each. Behind the values stand the numbers
of a side block, so that what is told beside a vector (scores, row counts) is as hidden as the vector itself. Numbers
are float32 if the vector is, else float64; so is the sum that a trainer gets, however it was made.

`contributor.py` is the trainers' side, `adder.py` the arbiter's.

Conversation: that of the protection (`algorithms.protection.schemes`), by number of the sum and of its part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from pydantic import Field, model_validator

from algorithms.api.component import RoleSpec, Terms
from algorithms.api.conversation import TRAINERS, Line
from algorithms.api.parameters import Parameters
from algorithms.encoding import schemes as encodings
from algorithms.encoding.encoder import Encoder, Kept
from algorithms.encoding.settings import EncodingSettings
from algorithms.kit.compatibility import require_compatible
from algorithms.protection import schemes as protections
from algorithms.protection.scheme import Scheme
from algorithms.protection.settings import ProtectionSettings
from party.ids import Role


class AggregationParameters(Parameters):
    """How the trainers' vectors are written and protected on their way through the arbiter."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"protection", "encoding"})

    protection: ProtectionSettings = Field(ProtectionSettings(), description="Who may see them.")
    encoding: EncodingSettings = Field(EncodingSettings(), description="How they are written.")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        require_compatible(self, {"encoding.kind": self._written})
        return self

    @property
    def scheme(self) -> Scheme:
        """Both sides of the protection."""
        return protections.SCHEMES[self.protection.kind](self.protection)

    def encoder(self, trainers: int, kept: Kept) -> Encoder:
        """How a trainer writes its vectors, which follows alike from the parameters and the number of trainers."""
        name = self.encoding.packing if self._written == "fixed_point" else self._written
        return encodings.SCHEMES[name](self.encoding, trainers, kept)

    @property
    def _written(self) -> str:
        """The kind of encoding; encrypted numbers are whole ones, others if the job says so."""
        return self.encoding.kind or ("fixed_point" if self.protection.kind == "paillier" else "floats")


def conversation(terms: Terms[AggregationParameters]) -> tuple[Line, ...]:
    """The lines of the protection's table."""
    parameters = terms.parameters
    return parameters.scheme.lines(parameters.encoder(1, {}).codes[-1].kind)


def roles(trainer: RoleSpec, arbiter: RoleSpec, least_arbiters: int = 1) -> dict[Role, RoleSpec]:
    """Guests and hosts that train alike, and the one arbiter that adds up."""
    adder = replace(arbiter, least=least_arbiters, most=1)
    return dict.fromkeys(TRAINERS, replace(trainer, trains=True)) | {Role.ARBITER: adder}


def check(terms: Terms[AggregationParameters]) -> None:
    """Raises RolesRefused if the protection refuses the parties."""
    terms.parameters.scheme.check(terms.parties)
