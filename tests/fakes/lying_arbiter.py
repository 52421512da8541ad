"""An arbiter that follows the protocol in all but the sums it gives back, and what it can learn that way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gmpy2
import numpy as np
import pyarrow as pa

from algorithms.api.channel import Step
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import PublicKey
from party.ids import Address
from storage.client import Ciphertexts, Value, decode
from tests.fixtures.algorithms import ARBITER, RecordingExchange, RecordingWire

Lie = Callable[["LyingExchange", Address, Step, Ciphertexts], Ciphertexts]


@dataclass
class LyingExchange(RecordingExchange):
    """Every sum that the arbiter sends is what `lie` makes of the honest one."""

    lie: Lie = field(default=lambda _exchange, _to, _step, honest: honest)
    starts: Mapping[Address, int] = field(default_factory=dict)  # rows in all that the arbiter claims

    def wire(self, address: Address) -> RecordingWire:
        wire = super().wire(address)
        return LyingWire(self, address, wire.inner) if address == ARBITER else wire

    @property
    def public(self) -> PublicKey:
        """The key, as the arbiter was given it."""
        (record,) = [decode(s.body) for s in self.sent if s.tag == "public-key" and s.to == ARBITER]
        return PublicKey.from_record(record)

    def update(self, frm: Address, step: Step) -> Ciphertexts:
        """What a trainer sent the arbiter."""
        (found,) = [decode(s.body) for s in self.sent if (s.tag, s.frm, s.step) == ("update", frm, step)]
        return found

    def sums(self) -> list[Ciphertexts]:
        """What the arbiter sent so far."""
        return [decode(s.body) for s in self.sent if s.tag == "sum"]

    def readable(self) -> list[Any]:
        """What the arbiter was sent that is no ciphertext, and how many ciphertexts it was sent at which step."""
        told = [s for s in self.sent if s.to == ARBITER and s.tag not in ("join", "public-key")]
        values = [(str(s.frm), s.tag, s.step, decode(s.body)) for s in told]
        return sorted((*key, len(v.data) if isinstance(v, Ciphertexts) else repr(v)) for *key, v in values)


class LyingWire(RecordingWire):
    """The arbiter's side."""

    def send(self, to: Address, tag: str, step: Step, value: Value) -> None:
        exchange: Any = self.exchange
        if tag == "sum" and isinstance(value, Ciphertexts):
            value = exchange.lie(exchange, to, step, value)
        if tag == "start" and isinstance(value, Mapping) and to in exchange.starts:
            value = {**value, "rows": exchange.starts[to]}
        super().send(to, tag, step, value)


def moved(public: PublicKey, vector: Ciphertexts, offsets: Sequence[int]) -> Ciphertexts:
    """The encrypted vector with an integer added to each value; needs the public key alone."""
    layout, _ = FixedPointLayout.parse(vector.layout)
    found = []
    for row, ciphertext in enumerate(numbers_of(vector)):
        mine = offsets[row * layout.slots : (row + 1) * layout.slots]
        plain = sum(int(offset) << (layout.slot_bits * slot) for slot, offset in enumerate(mine))
        found.append(ciphertext * (1 + plain % public.n * public.n) % public.n_squared)
    return with_numbers(vector, found)


def times(public: PublicKey, vector: Ciphertexts, factor: int) -> Ciphertexts:
    """Every plaintext times a factor."""
    return with_numbers(vector, [gmpy2.powmod(c, factor, public.n_squared) for c in numbers_of(vector)])


def as_sum_of(terms: int, vector: Ciphertexts) -> Ciphertexts:
    """The same ciphertexts, claimed to be of so many vectors."""
    layout, _ = FixedPointLayout.parse(vector.layout)
    return replace(vector, layout=layout.to_json(terms))


def offset_of(vector: Ciphertexts) -> list[int]:
    """The offset that one more packed vector would bring, for each value."""
    layout, _ = FixedPointLayout.parse(vector.layout)
    return [layout.offset] * vector.count


def numbers_of(vector: Ciphertexts) -> list[Any]:
    """The ciphertexts as numbers."""
    return [gmpy2.mpz.from_bytes(c, "big") for c in vector.data.to_pylist()]


def with_numbers(vector: Ciphertexts, found: Sequence[Any]) -> Ciphertexts:
    """A vector with these ciphertexts."""
    width = vector.data.type.byte_width
    return replace(vector, data=pa.array([bytes(c.to_bytes(width, "big")) for c in found], pa.binary(width)))


@dataclass
class Threshold:
    """The attack: a model that says yes where one column is above `tau`, sent as the first sum.

    A trainer that takes it and tells how right the model is on its rows tells, threshold after threshold, where its
    values lie and what their labels are.
    """

    tau: float
    column: int
    scale: float = 1.0

    def __call__(self, exchange: LyingExchange, _to: Address, step: Step, honest: Ciphertexts) -> Ciphertexts:
        if step[0] != 0:
            return honest
        layout, terms = FixedPointLayout.parse(honest.layout)
        wanted = np.zeros(honest.count)
        wanted[self.column] = self.scale
        wanted[30] = -self.scale * self.tau
        integers = [int(i) for i in layout.integers(wanted)]
        fresh = with_numbers(honest, [gmpy2.mpz(1)] * len(honest.data))  # encrypts zero, without any randomness
        packed = [i + terms * layout.offset for i in integers]
        return moved(exchange.public, fresh, packed)
