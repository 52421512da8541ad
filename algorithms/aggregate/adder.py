"""The arbiter's side of the sums of `algorithms.aggregate.aggregation`: it adds what it is sent, whatever that is."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.aggregate import aggregation
from algorithms.aggregate.aggregation import (
    AggregationParameters,
    check_addresses,
    fixed_parts,
    fixed_record,
    numbers,
    range_layout,
    require_form,
    rounding_of,
)
from algorithms.api.component import TRAINERS
from algorithms.api.context import Context
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.vectors import VectorPaillier
from algorithms.protection import key_agreement, secure_sum
from storage.client import Value


class Adder:
    """The arbiter's side: add what the trainers send, give the sum back to each."""

    def __init__(self, ctx: Context, parameters: AggregationParameters) -> None:
        check_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._trainers = ctx.peers(*TRAINERS)
        self._layout = rounding_of(parameters, len(self._trainers)).layout
        self._engine: VectorPaillier | None = None
        if parameters.encrypted:
            key = key_agreement.agree_on_key(ctx, parameters.protection)
            self._engine = VectorPaillier(key, compute=ctx.compute)

    def add(self, step: int) -> None:
        """One sum. Raises ParametersDiffer, WrongKey, WrongLayout, BadCiphertext."""
        if self._parameters.compact:
            self._add(2 * step, range_layout(self._parameters, len(self._trainers)))
            self._add(2 * step + 1, self._layout)
        else:
            self._add(step, self._layout)

    def _add(self, step: int, layout: FixedPointLayout) -> None:
        if self._engine is not None:
            able = key_agreement.holders(self._trainers, self._parameters.protection)
            secure_sum.add_parts(self._ctx, self._engine, layout, able, step)
            return
        part, full = 0, True
        while full:
            updates = self._ctx.channel.gather(self._trainers, "update", (step, part))
            total, count = self._total(updates, layout)
            self._ctx.channel.broadcast(self._trainers, "sum", (step, part), total)
            full = count == aggregation.PART_VALUES
            part += 1

    def _total(self, updates: list[Value], layout: FixedPointLayout) -> tuple[Value, int]:
        """The sum of one part, and how many values it has."""
        if not self._parameters.fixed_point:
            total: NDArray[Any] = self._added([numbers(update) for update in updates])
            return total, len(total)
        parts = [fixed_parts(update, layout) for update in updates]
        total = self._added([integers for integers, _ in parts])
        return fixed_record(total, layout, sum(terms for _, terms in parts)), len(total)

    def _added(self, vectors: list[NDArray[Any]]) -> NDArray[Any]:
        for trainer, vector in zip(self._trainers, vectors, strict=True):
            require_form(vector, vectors[0].size, vectors[0].dtype, str(trainer))
        return reduce(np.add, vectors)
