"""Standard scaling over rows split between parties: every column gets mean 0 and variance 1 over everybody's rows.

Source: Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", the two-pass form: first the mean
over all rows, then the mean square of the differences from it.

Conversation of a fit; trainers are guests and hosts: that of `algorithms.kit.admission`, without classes; then two sums
(`algorithms.aggregate.aggregation`), of n_k / n * the own means, and of the same of mean squares.

With `fit` false a scaler made before is applied and nothing is said.

Who learns what: the trainers learn the mean and deviation of each column over all rows; of two trainers, each can
work out the other's. The arbiter learns row counts, and in the clear also each trainer's means and mean squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from algorithms.aggregate import aggregation
from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.component import SAFE_TRAINERS, Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS, Line
from algorithms.api.errors import RolesRefused
from algorithms.api.ports import ModelUse, Port, PortKind
from algorithms.encoding.settings import EncodingSettings
from algorithms.kit import admission
from algorithms.kit.admission import Joining
from algorithms.kit.disclosure import NOTHING, TRAINER_OF_SCALER, arbiter_of_scaler
from algorithms.kit.feature_matrix import feature_names, features, require_kind
from party.ids import Role
from storage.client import Model, Table

Floats = NDArray[np.float64]
KIND = "scaler"
LIMB_EXPONENTS = (30, 0, -30, -60)  # a number is a sum of integers below 2^31 times these powers of two
LIMB_RANGE = 2.0**31


class LimbEncoding(EncodingSettings):
    """Numbers travel as limbs, each a whole number, for which 16 bits would not do."""

    packing: Literal["exact"] = Field("exact", description="Fixed: 16 bits would not hold a limb.")
    value_range: float = Field(LIMB_RANGE, ge=LIMB_RANGE, le=LIMB_RANGE, description="Fixed: numbers travel in limbs.")


class ScaleParameters(AggregationParameters):
    """Parameters of `scale@1`."""

    SHARED: ClassVar[frozenset[str]] = AggregationParameters.SHARED | {"fit"}

    encoding: LimbEncoding = Field(LimbEncoding(), description="How they are written.")
    fit: bool = Field(True, description="Fit a scaler with the other parties, or apply the one given as `model`.")


def conversation(terms: Terms[ScaleParameters]) -> tuple[Line, ...]:
    """The table above as data."""
    if not terms.parameters.fit:
        return ()
    return (*admission.conversation(), *aggregation.conversation(terms))


def check(terms: Terms[ScaleParameters]) -> None:
    """Raises RolesRefused: nobody to add up a fit, or somebody who must not."""
    if not terms.parameters.fit:
        return
    if not terms.parties.get(Role.ARBITER):
        raise RolesRefused("A fit needs an arbiter, and the task has none.", hint="Name one party as arbiter.")
    aggregation.check(terms)


def trainer(ctx: Context, parameters: ScaleParameters) -> None:
    """A guest or host: fit with the others (or take the scaler given), scale the own rows."""
    table = ctx.required_table("data")
    if parameters.fit:
        names = feature_names(table)
        mean, deviation = fit(ctx, parameters, features(table, names), names)
        arrays, details = {"mean": mean, "deviation": deviation}, {"features": list(names)}
        model = Model(kind=KIND, schema=1, arrays=arrays, details=details)
    else:
        model = ctx.required_model("model")
    _write(ctx, table, model)
    ctx.outputs.save_model("model", model)


def arbiter(ctx: Context, parameters: ScaleParameters) -> None:
    """The arbiter: add twice."""
    if not parameters.fit:
        return
    admission.admit(ctx, parameters.shared())
    adder = Adder(ctx, parameters)
    adder.add(0)
    adder.add(1)


def fit(ctx: Context, parameters: ScaleParameters, x: Floats, names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column over everybody's rows; a constant column has deviation 1."""
    joined = admission.join(ctx, Joining(len(x), names), parameters.shared())
    rows, share = joined.rows, len(x) / joined.rows
    contributor = Contributor(ctx, parameters, 2, joined.common)
    summed = contributor.sum(0, split_limbs("mean", share * x.mean(axis=0)), words=[admission.rows_word(len(x))])
    admission.require_rows(joined, summed.words[0])
    mean = join_limbs(summed.vectors)
    squares = ((x - mean) ** 2).mean(axis=0)
    variance = join_limbs(contributor.sum(1, split_limbs("variance", share * squares)).vectors)
    variance = np.maximum(variance, 0.0)
    return mean, np.where(is_constant(mean, variance, rows), 1.0, np.sqrt(variance))


def is_constant(mean: Floats, variance: Floats, rows: int) -> NDArray[np.bool_]:
    """Whether a variance is no more than what rounding gives a column of one value; as in scikit-learn's scaler."""
    epsilon = np.finfo(np.float64).eps
    found: NDArray[np.bool_] = variance <= rows * epsilon * variance + (rows * mean * epsilon) ** 2
    return found


def split_limbs(name: str, values: Floats) -> dict[str, Floats]:
    """Numbers as whole-number limbs, so that fixed point keeps large ones and small ones alike (|v| < 2^61)."""
    limbs, rest = {}, values
    for exponent in LIMB_EXPONENTS:
        limb = np.rint(np.ldexp(rest, -exponent))
        limbs[f"{name} / 2^{exponent}"] = limb
        rest = rest - np.ldexp(limb, exponent)
    return limbs


def join_limbs(limbs: Mapping[str, Floats]) -> Floats:
    """The numbers of limbs, or of sums of limbs; the smallest are added first."""
    parts = [np.ldexp(limb, exponent) for limb, exponent in zip(limbs.values(), LIMB_EXPONENTS, strict=True)]
    total: Floats = np.sum(parts[::-1], axis=0)
    return total


def scaled(x: Floats, model: Model) -> Floats:
    """(x - mean) / deviation."""
    result: Floats = (x - model.arrays["mean"]) / model.arrays["deviation"]
    return result


def _write(ctx: Context, table: Table, model: Model) -> None:
    """The scaled table: the columns that play a role as they are, the features as float64."""
    names: list[str] = require_kind(model, KIND).details["features"]
    x = scaled(features(table, names), model)
    roles = table.manifest.roles
    columns: dict[str, Any] = {name: table.to_arrow().column(name) for name in roles.columns.values()}
    columns |= {name: x[:, i] for i, name in enumerate(names)}
    ctx.outputs.save_table("data", pa.table(columns), roles)


COMPONENT = Component(
    name="scale",
    version=1,
    parameters=ScaleParameters,
    inputs={
        "data": Port(PortKind.TABLE, TRAINERS),
        "model": Port(PortKind.MODEL, TRAINERS, optional=True, use=ModelUse.APPLY, models=(KIND,)),
    },
    outputs={
        "data": Port(PortKind.TABLE, TRAINERS, rows_of="data"),
        "model": Port(PortKind.MODEL, TRAINERS, models=(KIND,)),
    },
    roles=aggregation.roles(
        RoleSpec(trainer, learns=lambda terms: TRAINER_OF_SCALER if terms.parameters.fit else NOTHING),
        RoleSpec(arbiter, learns=lambda terms: arbiter_of_scaler(terms) if terms.parameters.fit else NOTHING),
        least_arbiters=0,
    ),
    conversation=conversation,
    check=check,
    safe_trainers=SAFE_TRAINERS,
)
