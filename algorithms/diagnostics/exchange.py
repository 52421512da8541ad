"""Rounds of adding up made-up numbers: shows what a federation's links, hosts and encryption bear before it trains.

Source: none; the sums are those of `algorithms.aggregate`, as a training of that many parameters would make them.

Conversation; trainers are guests and hosts: a sum for each round, as `algorithms.aggregate.aggregation` says.

Numbers are float32, as the weights of a network. Everybody can compute everybody's, so each trainer checks the sums;
each side reports wall and CPU seconds of each round. Who learns what: nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.aggregate import aggregation
from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.component import Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import Line
from algorithms.api.errors import WrongSum
from algorithms.crypto.packing import Integers
from algorithms.kit.disclosure import NOTHING
from algorithms.kit.named_vectors import NamedVectors
from party.ids import Address

MOST_VALUES = 1 << 28
CHECKED = 1000  # values of each sum that are held against what they must be
SINGLE_STEP = 2.0**-24  # of a sum's magnitude: what rounding to float32 may move it by
EXACT_STEP = 2.0**-31  # of the range that the job allows: what rounding may move one trainer's number by
COMPACT_STEP = 2.0**-13  # two steps, this round's and the one before, of a range of twice the largest number


class ExchangeParameters(AggregationParameters):
    """Parameters of `exchange@1`."""

    SHARED: ClassVar[frozenset[str]] = AggregationParameters.SHARED | {"values", "rounds"}

    values: int = Field(1000, ge=1, le=MOST_VALUES, description="How many numbers each trainer contributes.")
    rounds: int = Field(1, ge=1, le=1_000_000, description="How often.")


def conversation(terms: Terms[ExchangeParameters]) -> tuple[Line, ...]:
    """The table above as data."""
    return tuple(replace(line, of_rows=False) for line in aggregation.conversation(terms))


def trainer(ctx: Context, parameters: ExchangeParameters) -> None:
    """A guest or host: contribute, check the sum, report how long it took.

    Raises:
        WrongSum: The sum is not that of all trainers' numbers.
    """
    numbers = {"numbers": np.empty(parameters.values, dtype=np.float32)}
    for piece in NamedVectors(numbers).pieces(0, parameters.values):
        piece.values[:] = made_up(ctx, ctx.address, piece.at + np.arange(len(piece.values)))
    checked = np.unique(np.linspace(0, parameters.values - 1, CHECKED).astype(np.int64))
    is_compact = parameters.encoding.packing == "compact"
    step = COMPACT_STEP if is_compact else EXACT_STEP * parameters.encoding.value_range
    contributor = Contributor(ctx, parameters, parameters.rounds)
    with ctx.progress(parameters.rounds, "rounds") as progress:
        for t in range(parameters.rounds):
            with _timed(ctx, t):
                summed = contributor.sum(t, numbers)
            own = [made_up(ctx, member, checked) for member in summed.members]
            wrong = np.abs(summed.vectors["numbers"][checked] - np.sum(own, axis=0, dtype=np.float64)).max()
            if not wrong <= len(own) * (step + SINGLE_STEP * len(own)):  # nor if it is no number
                raise WrongSum(f"The sum of round {t} is not that of {len(own)} trainers' numbers.")
            progress(t + 1)


def made_up(ctx: Context, address: Address, places: Integers) -> NDArray[np.float32]:
    """The numbers of an address at these places, between -1 and 1."""
    pace = ctx.common_rng(f"numbers/{address}").uniform(1.0, 2.0)
    numbers: NDArray[np.float32] = np.sin(pace * (places + 1.0)).astype(np.float32)
    return numbers


def arbiter(ctx: Context, parameters: ExchangeParameters) -> None:
    """The arbiter: add, and report how long the adding took, waiting for the trainers included."""
    adder = Adder(ctx, parameters)
    with ctx.progress(parameters.rounds, "rounds") as progress:
        for t in range(parameters.rounds):
            with _timed(ctx, t):
                adder.add(t)
            progress(t + 1)


@contextmanager
def _timed(ctx: Context, t: int) -> Iterator[None]:
    """Report the wall and CPU seconds of a round."""
    begin, cpu = time.monotonic(), time.process_time()
    yield
    ctx.report(t, seconds=time.monotonic() - begin, cpu_seconds=time.process_time() - cpu)


COMPONENT = Component(
    name="exchange",
    version=1,
    parameters=ExchangeParameters,
    inputs={},
    outputs={},
    roles=aggregation.roles(RoleSpec(trainer, learns=NOTHING), RoleSpec(arbiter, learns=NOTHING)),
    conversation=conversation,
    check=aggregation.check,
)
