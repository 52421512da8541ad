"""Sums in the clear: the arbiter sees every trainer's numbers.

Conversation, `part` counts the parts of a vector from 0:

    tag       from      to         step          what
    update    trainer   arbiter    (sum, part)   a part of the trainer's numbers
    sum       arbiter   trainers   (sum, part)   the sum of that part

Numbers are added in address order, whatever the order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.encoding.encoder import Code, Kept
from algorithms.kit.named_vectors import Numbers, require_form
from algorithms.protection.scheme import Step
from algorithms.protection.settings import ProtectionSettings
from party.ids import Role
from storage.client import Kind

PART_NUMBERS = 1 << 21  # of a part, at most 16 MiB: larger ones cost memory, smaller ones time
OVERHEAD_BYTES = 1 << 16


class Plain:
    """The scheme; there is nothing to set."""

    def __init__(self, settings: ProtectionSettings) -> None:
        """As every scheme is made."""

    def lines(self, kind: Kind) -> tuple[Line, ...]:
        """The table above as data."""
        limit, plain = 8 * PART_NUMBERS + OVERHEAD_BYTES, Protection.PLAIN
        update = "A part of one weighted update, which the arbiter sees."
        total = "The sum of that part, which it sees too."
        return (
            Line("update", TRAINERS, ARBITER, kind, limit, plain, update),
            Line("sum", ARBITER, TRAINERS, kind, limit, plain, total),
        )

    def check(self, parties: Mapping[Role, Sequence[str]]) -> None:
        """Anybody may."""

    def trainer(self, ctx: Context, vectors: int, common: bytes, kept: Kept) -> PlainTrainer:  # noqa: ARG002
        """Without keys or tags."""
        return PlainTrainer(ctx)

    def arbiter(self, ctx: Context) -> PlainArbiter:
        """Without keys."""
        return PlainArbiter(ctx)


class PlainTrainer:
    """A trainer's side."""

    def __init__(self, ctx: Context) -> None:
        self._channel = ctx.channel
        self._arbiter = ctx.peers(Role.ARBITER)[0]
        self._trainers = len(ctx.peers(*TRAINERS))

    def expect(self, code: Code, numbers: int) -> None:
        """Nothing is made ready."""

    def seal(self) -> None:
        """The arbiter is believed."""

    def part_numbers(self, code: Code) -> int:  # noqa: ARG002  all take eight bytes at most
        """The same for all."""
        return PART_NUMBERS

    def send(self, step: Step, code: Code, numbers: Numbers) -> None:
        """As the code writes them."""
        self._channel.send(self._arbiter, "update", step, code.write(numbers, 1))

    def receive(self, step: Step, code: Code, count: int) -> Numbers:  # noqa: ARG002  how many came is seen
        """As the code reads them."""
        return code.read(self._channel.recv(self._arbiter, "sum", step), self._trainers, str(self._arbiter))

    def kept(self) -> Kept:
        """Nothing."""
        return {}


class PlainArbiter:
    """The arbiter's side."""

    def __init__(self, ctx: Context) -> None:
        self._channel = ctx.channel
        self._trainers = ctx.peers(*TRAINERS)

    def add(self, step: int, code: Code) -> None:
        """Part by part."""
        part, full = 0, True
        while full:
            updates = self._channel.gather(self._trainers, "update", (step, part))
            total = self._sum([code.read(update, 1, str(t)) for t, update in zip(self._trainers, updates, strict=True)])
            self._channel.broadcast(self._trainers, "sum", (step, part), code.write(total, len(self._trainers)))
            full = len(total) == PART_NUMBERS
            part += 1

    def _sum(self, vectors: Sequence[Numbers]) -> Numbers:
        for trainer, vector in zip(self._trainers, vectors, strict=True):
            require_form(vector, vectors[0].size, vectors[0].dtype, str(trainer))
        return reduce(np.add, vectors)
