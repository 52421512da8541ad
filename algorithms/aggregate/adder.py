"""The arbiter's side of sums: it adds what it is sent, whatever that is."""

from __future__ import annotations

from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS


class Adder:
    """The arbiter's side: add what the trainers send, give the sum back to each."""

    def __init__(self, ctx: Context, parameters: AggregationParameters) -> None:
        self._codes = parameters.encoder(len(ctx.peers(*TRAINERS)), {}).codes
        self._side = parameters.scheme.arbiter(ctx)

    def add(self, step: int) -> None:
        """The sum of one vector. Raises ParametersDiffer, WrongKey, WrongLayout, BadCiphertext."""
        for i, code in enumerate(self._codes):
            self._side.add(step * len(self._codes) + i, code)
