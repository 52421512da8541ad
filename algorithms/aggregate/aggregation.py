"""The weighted sum of the trainers' vectors, made by the arbiter: in the clear, in fixed point, or under Paillier.

Conversation, `step` numbers the sums; under Paillier those of `protection.key_agreement` and `protection.secure_sum`:

    tag       from      to         step          what
    update    trainer   arbiter    (sum, part)   a part of a weighted vector: numbers, or its fixed-point integers
    sum       arbiter   trainers   (sum, part)   the sum of all: numbers or integers

The last part is the first that is not full. Numbers are float32 if the vector is, else float64; so is the sum that a
trainer gets, however it was made.

`aggregate.contributor` is the trainers' side, `aggregate.adder` the arbiter's. Behind the vector stand the numbers of
a side block, so that what is told beside a vector (scores, row counts) is as hidden as the vector itself; under
Paillier also tags, by which every trainer checks that a sum is of all trainers' vectors, each once and nothing else.

Under Paillier the arbiter has the public key alone, so it must not be a trainer too: it would hold both the updates
and the key. In compact packing each sum takes two: step 2s finds the range, 2s + 1 adds the vectors. In fixed point
the arbiter adds the same integers that Paillier would carry, so in exact packing both runs end bit for bit alike.
Trainers weight their vectors before they round and send them; vectors are added in address order, whatever the order
of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import Field, model_validator

from algorithms.api.component import ARBITER, TRAINERS, Line, Parameters, Protection, RoleSpec, Terms, by_role
from algorithms.api.context import Context
from algorithms.api.errors import ParametersDiffer, RolesRefused, WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Integers
from algorithms.encoding.feedback import FeedbackRounding, Kept, NearestRounding, Rounding
from algorithms.encoding.settings import EncodingSettings
from algorithms.protection import key_agreement, secure_sum
from algorithms.protection.settings import ProtectionSettings
from party.ids import Role
from storage.client import Value

PART_VALUES = 1 << 21  # of a part in the clear, at most 16 MiB: larger ones cost memory, smaller ones time
OVERHEAD_BYTES = 1 << 16

Step: TypeAlias = tuple[int, int]


class AggregationParameters(Parameters):
    """How the trainers' vectors are written and protected on their way through the arbiter."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"protection", "encoding"})

    protection: ProtectionSettings = Field(ProtectionSettings(), description="Who may see them.")
    encoding: EncodingSettings = Field(EncodingSettings(), description="How they are written.")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.encrypted and self.encoding.kind == "floats":
            raise ValueError("`encoding.kind` floats cannot be encrypted: leave it out, or choose fixed_point")
        if not self.fixed_point:
            self.encoding.require_unset(dict.fromkeys(("packing", "value_range"), "floats"))
            self.protection.require_unset({"key_bits": "floats"})
        return self

    @property
    def encrypted(self) -> bool:
        """Whether the arbiter sees ciphertexts only."""
        return self.protection.kind == "paillier"

    @property
    def fixed_point(self) -> bool:
        """Whether numbers are rounded: encrypted ones always; others as if they were, with the same result."""
        return self.encrypted or self.encoding.kind == "fixed_point"

    @property
    def compact(self) -> bool:
        """Whether a sum takes two, since its range is found first."""
        return self.fixed_point and self.encoding.packing == "compact"


def conversation(parameters: AggregationParameters) -> tuple[Line, ...]:
    """The lines of the tables above."""
    if parameters.encrypted:
        return (*key_agreement.conversation(), *secure_sum.conversation())
    kind, limit = "record" if parameters.fixed_point else "array", 8 * PART_VALUES + OVERHEAD_BYTES
    step, plain = ("sum", "part"), Protection.PLAIN
    update, total = "A part of one weighted update, which the arbiter sees.", "The sum of that part, which it sees too."
    return (
        Line("update", TRAINERS, ARBITER, step, kind, limit, plain, update),
        Line("sum", ARBITER, TRAINERS, step, kind, limit, plain, total),
    )


def roles(trainer: RoleSpec, arbiter: RoleSpec, least_arbiters: int = 1) -> dict[Role, RoleSpec]:
    """Guests and hosts that train alike, and the one arbiter that adds up."""
    adder = replace(arbiter, least=least_arbiters, most=1)
    return dict.fromkeys(TRAINERS, replace(trainer, trains=True)) | {Role.ARBITER: adder}


def check(terms: Terms[AggregationParameters]) -> None:
    """Raises RolesRefused: a key holder that trains nothing, or an arbiter that could decrypt what it adds."""
    if not terms.parameters.encrypted:
        return
    trainers = sorted(party for role in TRAINERS for party in terms.parties.get(role, ()))
    key_agreement.require_holders(trainers, terms.parameters.protection)
    for arbiter in terms.parties.get(Role.ARBITER, ()):
        if arbiter in trainers:
            raise RolesRefused(
                f"'{arbiter}' is arbiter and trainer: it would hold the private key to the updates it adds.",
                hint="Name another party as arbiter, or leave `protection` out.",
            )


def check_addresses(ctx: Context, parameters: AggregationParameters) -> None:
    """The same for this executor's own parameters: it refuses by itself, whoever admitted the job."""
    check(Terms(parameters, by_role(ctx.addresses)))


def rounding_of(parameters: AggregationParameters, trainers: int, kept: Kept | None = None) -> Rounding:
    """How all sides round, and the layout that follows alike from the parameters and the number of trainers."""
    encoding, key_bits = parameters.encoding, parameters.protection.key_bits
    if encoding.packing == "compact":
        return FeedbackRounding(FixedPointLayout.compact(1.0, trainers, key_bits), encoding.value_range, kept)
    return NearestRounding(FixedPointLayout.exact(encoding.value_range, trainers, key_bits))


def range_layout(parameters: AggregationParameters, trainers: int) -> FixedPointLayout:
    """How the marks are added that set the range of a compact sum: zeros and ones, a few bits each."""
    return FixedPointLayout.exact(2.0, trainers, parameters.protection.key_bits, value_bits=2)


def fixed_record(integers: Integers, layout: FixedPointLayout, terms: int) -> dict[str, Any]:
    """Fixed-point integers as a record to send."""
    return {"layout": layout.to_json(terms), "integers": integers}


def fixed_parts(value: Value, layout: FixedPointLayout) -> tuple[Integers, int]:
    """The integers of a record, and of how many vectors they are the sum. Raises ParametersDiffer, WrongLayout."""
    record = _record(value)
    found, terms = FixedPointLayout.parse(str(record.get("layout")))
    integers = record.get("integers")
    if found != layout or not isinstance(integers, np.ndarray) or integers.dtype != np.int64:
        raise WrongLayout(
            f"A vector in {found} does not go with {layout}.", hint="Give all parties the same parameters."
        )
    if integers.size and max(-int(integers.min()), int(integers.max())) > terms * (layout.offset - 1):
        raise WrongLayout(f"An integer is larger than those of {terms} vectors in {layout}.")
    return integers, terms


def _record(value: Value) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParametersDiffer(f"A record was expected, not {type(value).__name__}.")
    return value


def require_form(vector: NDArray[Any], length: int, dtype: DTypeLike, sender: str) -> None:
    """Raises ParametersDiffer."""
    if vector.ndim != 1 or len(vector) != length or vector.dtype != dtype:
        raise ParametersDiffer(
            f"{sender} sent {vector.dtype} numbers of shape {vector.shape}, {length} {np.dtype(dtype)} were expected."
        )


def numbers(value: Value) -> NDArray[Any]:
    """A vector in the clear. Raises ParametersDiffer."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        raise ParametersDiffer(
            "A float32 or float64 vector was expected.", hint="Give all parties the same `protection`."
        )
    return value
