"""One sum of encrypted vectors, part by part, so that neither side ever holds more than a part of it encrypted.

Conversation, `part` counts the parts of a vector from 0; the last part is the first that is not full:

    tag       from         to            step           what
    update    trainer      arbiter       (sum, part)    ciphertexts of the trainer's part
    sum       arbiter      key holders   (sum, part)    the part's sum, or the holder's share of it
    share     key holder   trainers      (sum, part)    packed plaintexts of the holder's share, sealed to the receiver

Decryption is the slowest step. A part of many ciphertexts is cut into as many shares as there are key holders; each
decrypts its own and passes the plaintexts on to the other trainers, so that each does 1/K of the work. Of a small
part every holder gets all, which saves a message; trainers without the key then hear from the first holder.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from algorithms.api.component import ARBITER, TRAINERS, Line, Protection
from algorithms.api.context import Context
from algorithms.api.errors import ParametersDiffer, WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Integers, Rows
from algorithms.crypto.vectors import VectorPaillier, slice_of
from party.ids import Address
from storage.client import Ciphertexts, Value

PART_CIPHERTEXTS = 1024
SHARED_FROM = 32  # ciphertexts; fewer are decrypted sooner than a message arrives
CIPHERTEXT_BYTES = 1024  # of the longest key
PART_BYTES = PART_CIPHERTEXTS * CIPHERTEXT_BYTES + (1 << 16)


def conversation() -> tuple[Line, ...]:
    """The table above as data."""
    encrypted, sealed = Protection.ENCRYPTED, Protection.AGGREGATE_SEALED
    step, blind = ("sum", "part"), "The arbiter sees ciphertexts only."
    update, total = f"A part of a weighted update. {blind}", f"A part of the sum of the updates. {blind}"
    share = "Plaintexts of the sum that the sender decrypted for all, sealed to each trainer."
    return (
        Line("update", TRAINERS, ARBITER, step, "ciphertexts", PART_BYTES, encrypted, update),
        Line("sum", ARBITER, TRAINERS, step, "ciphertexts", PART_BYTES, encrypted, total),
        Line("share", TRAINERS, TRAINERS, step, "array", PART_BYTES, sealed, share),
    )


def part_values(layout: FixedPointLayout) -> int:
    """How many values a full part holds."""
    return PART_CIPHERTEXTS * layout.slots


class TrainerSide:
    """A trainer's side of encrypted sums.

    Args:
        ctx: The trainer's context.
        engine: Under the private key for a key holder, else under the public one.
        layout: What all trainers use.
        holders: The trainers with the private key, in address order.
        arbiter: Who adds.
    """

    def __init__(
        self,
        ctx: Context,
        engine: VectorPaillier,
        layout: FixedPointLayout,
        holders: Sequence[Address],
        arbiter: Address,
    ) -> None:
        self._ctx = ctx
        self._engine = engine
        self._layout = layout
        self._holders = holders
        self._arbiter = arbiter
        self._trainers = ctx.peers(*TRAINERS)

    def send(self, step: tuple[int, int], integers: Integers) -> None:
        """Encrypt a part of the own vector and send it."""
        self._ctx.channel.send(self._arbiter, "update", step, self._engine.encrypt(self._layout, integers))

    def receive(self, step: tuple[int, int], count: int, prepare: int) -> Integers | None:
        """A part of the sum, `count` values; while it is not there, masks for `prepare` ciphertexts are made.

        None if the plaintexts are no sum of so many vectors. That is no error yet: what the arbiter sees of it, and
        when, must not depend on what it could not read.

        Raises:
            WrongLayout: The arbiter's sum is not of all trainers.
            WrongKey, BadCiphertext, ParametersDiffer: What came is not what was agreed.
        """
        shares = shares_of(self._layout.plaintexts(count), len(self._holders))
        whole = len(shares) < len(self._holders)
        rows = []
        mine = self._own_rows(step, count, shares, prepare)
        for holder, (first, last) in zip(self._holders, shares, strict=False):
            own = holder == self._ctx.address or (whole and self._is_holder)
            rows.append(mine if own else self._received(holder, step, last - first, prepare))
        plaintexts = np.concatenate(rows)
        try:
            return self._layout.unpack(plaintexts, count, len(self._trainers))
        except WrongLayout:
            return None

    @property
    def _is_holder(self) -> bool:
        return self._ctx.address in self._holders

    def _own_rows(self, step: tuple[int, int], count: int, shares: Sequence[tuple[int, int]], prepare: int) -> Rows:
        """Decrypt the own share and pass it on to those who cannot, or need not."""
        if not self._is_holder:
            return np.zeros((0, 0), dtype=np.uint8)
        whole, place = len(shares) < len(self._holders), self._holders.index(self._ctx.address)
        first, last = shares[0] if whole else shares[place]
        total = _ciphertexts(self._awaited(self._arbiter, "sum", step, prepare))
        if total.count != min(last * self._layout.slots, count) - first * self._layout.slots:
            raise WrongLayout(
                f"The arbiter's sum has {total.count} values, not those of ciphertexts {first} to {last}."
            )
        rows, terms = self._engine.decrypt_rows(self._layout, total)
        if terms != len(self._trainers):
            raise WrongLayout(f"The arbiter's sum has {terms} terms; there are {len(self._trainers)} trainers.")
        others = [t for t in self._trainers if t != self._ctx.address and not (whole and t in self._holders)]
        if not whole or place == 0:
            self._ctx.channel.broadcast(others, "share", step, rows)
        return rows

    def _received(self, holder: Address, step: tuple[int, int], ciphertexts: int, prepare: int) -> Rows:
        rows = self._awaited(holder, "share", step, prepare)
        expected = (ciphertexts, self._engine.public.plaintext_bytes)
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape != expected:
            raise ParametersDiffer(f"{holder} did not send the {ciphertexts} plaintexts that are its share.")
        return rows

    def _awaited(self, frm: Address, tag: str, step: tuple[int, int], prepare: int) -> Value:
        with self._engine.preparing(prepare) if prepare else nullcontext():
            return self._ctx.channel.recv(frm, tag, step)


def add_parts(
    ctx: Context, engine: VectorPaillier, layout: FixedPointLayout, holders: Sequence[Address], step: int
) -> None:
    """The arbiter's side of one sum. Raises WrongKey, WrongLayout, BadCiphertext, ParametersDiffer."""
    trainers = ctx.peers(*TRAINERS)
    part, full = 0, True
    while full:
        updates = ctx.channel.gather(trainers, "update", (step, part))
        total = engine.add([_ciphertexts(update) for update in updates], layout)
        shares = shares_of(len(total.data), len(holders))
        for holder, (first, last) in zip(holders, shares * (len(holders) // len(shares)), strict=True):
            share = slice_of(total, first * layout.slots, min(last * layout.slots, total.count))
            ctx.channel.send(holder, "sum", (step, part), share)
        full = total.count == part_values(layout)
        part += 1


def shares_of(ciphertexts: int, holders: int) -> list[tuple[int, int]]:
    """Which ciphertexts of a part each holder decrypts; a single share if each is to decrypt all of them."""
    if ciphertexts < SHARED_FROM:
        return [(0, ciphertexts)]
    return [(ciphertexts * i // holders, ciphertexts * (i + 1) // holders) for i in range(holders)]


def _ciphertexts(value: Value) -> Ciphertexts:
    if not isinstance(value, Ciphertexts):
        raise ParametersDiffer("An encrypted vector was expected.", hint="Give all parties the same `protection`.")
    return value
