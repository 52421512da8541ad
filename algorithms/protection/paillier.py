"""Sums under Paillier: the arbiter adds ciphertexts, under a key of which it has the public half alone.

Conversation, after that of `algorithms.protection.key_agreement`; `part` counts the parts of a vector from 0:

    tag       from      to         step          what
    update    trainer   arbiter    (sum, part)   ciphertexts of the trainer's part
    sum       arbiter   trainers   (sum, part)   to key holders, the part's sum, or the holder's share of it
    share     trainer   trainers   (sum, part)   from key holders, packed plaintexts of their share, sealed to each

So the arbiter must not be a trainer too: it would hold both the updates and the key. Neither side ever holds more than
a part of a vector encrypted. Every trainer checks by tags (`algorithms.crypto.tags`) that a sum is of all trainers'
vectors, each once and nothing else.

Decryption is the slowest step. A part of many ciphertexts is cut into as many shares as there are key holders; each
decrypts its own and passes the plaintexts on to the other trainers, so that each does 1/K of the work. Of a small
part every holder gets all, which saves a message; trainers without the key then hear from the first holder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np

from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.errors import ParametersDiffer, RolesRefused, WrongLayout
from algorithms.crypto.packing import FixedPointLayout, Integers, Rows
from algorithms.crypto.tags import LANES, TAG_BITS, Seal, first_transcript
from algorithms.crypto.vectors import VectorPaillier, slice_of
from algorithms.encoding.encoder import Code, Kept
from algorithms.encoding.exact import FixedPointCode
from algorithms.kit.side_block import SideBlock
from algorithms.protection import key_agreement
from algorithms.protection.scheme import Step
from algorithms.protection.settings import ProtectionSettings
from party.ids import Address, Role
from storage.client import Ciphertexts, Kind, Value

PART_CIPHERTEXTS = 1024
SHARED_FROM = 32  # ciphertexts; fewer are decrypted sooner than a message arrives
CIPHERTEXT_BYTES = 1024  # of the longest key
PART_BYTES = PART_CIPHERTEXTS * CIPHERTEXT_BYTES + (1 << 16)


class Paillier:
    """The scheme, with the key that the settings ask for."""

    def __init__(self, settings: ProtectionSettings) -> None:
        self._settings = settings

    def lines(self, kind: Kind) -> tuple[Line, ...]:  # noqa: ARG002  nothing travels in the clear
        """The table above as data, and that of the keys."""
        encrypted, sealed = Protection.ENCRYPTED, Protection.AGGREGATE_SEALED
        blind = "The arbiter sees ciphertexts only."
        update, total = f"A part of a weighted update. {blind}", f"A part of the sum of the updates. {blind}"
        share = "Plaintexts of the sum that the sender decrypted for all, sealed to each trainer."
        return (
            *key_agreement.conversation(),
            Line("update", TRAINERS, ARBITER, Kind.CIPHERTEXTS, PART_BYTES, encrypted, update),
            Line("sum", ARBITER, TRAINERS, Kind.CIPHERTEXTS, PART_BYTES, encrypted, total),
            Line("share", TRAINERS, TRAINERS, Kind.ARRAY, PART_BYTES, sealed, share),
        )

    def check(self, parties: Mapping[Role, Sequence[str]]) -> None:
        """Raises RolesRefused: a key holder that trains nothing, or an arbiter that could decrypt what it adds."""
        trainers = sorted(party for role in TRAINERS for party in parties.get(role, ()))
        key_agreement.require_holders(trainers, self._settings)
        for arbiter in parties.get(Role.ARBITER, ()):
            if arbiter in trainers:
                raise RolesRefused(
                    f"'{arbiter}' is arbiter and trainer: it would hold the private key to the updates it adds.",
                    hint="Name another party as arbiter, or leave `protection` out.",
                )

    def trainer(self, ctx: Context, vectors: int, common: bytes, kept: Kept) -> PaillierTrainer:
        """With the key and the secret that the trainers agree on. Raises BadKey, WrongKey."""
        names = (str(trainer).encode() for trainer in ctx.peers(*TRAINERS))
        transcript = bytes(np.asarray(kept.get("transcript", ()), dtype=np.uint8))
        return PaillierTrainer(ctx, self._settings, vectors, transcript or first_transcript(ctx.seed, *names, common))

    def arbiter(self, ctx: Context) -> PaillierArbiter:
        """With the public key. Raises BadKey."""
        return PaillierArbiter(ctx, self._settings)


class PaillierTrainer:
    """A trainer's side.

    Args:
        ctx: The trainer's context.
        settings: Which key, and who holds it.
        vectors: About how many will be added up; sizes the precomputed tables.
        transcript: Of all sums before the next one.
    """

    def __init__(self, ctx: Context, settings: ProtectionSettings, vectors: int, transcript: bytes) -> None:
        self._ctx = ctx
        self._settings = settings
        self._trainers = ctx.peers(*TRAINERS)
        self._arbiter = ctx.peers(Role.ARBITER)[0]
        self._holders = key_agreement.holders(self._trainers, settings)
        self._key = key_agreement.agree_on_key(ctx, settings)
        self._secret = key_agreement.agree_on_secret(ctx, settings)
        self._first = transcript
        self._last: Seal | None = None
        self._made: VectorPaillier | None = None
        self._left = vectors  # after the one at work
        self._ciphertexts = 0  # of the longest vector
        self._own: Code | None = None  # of the vector at work
        self._masks = 0  # to be made while something is waited for

    def expect(self, code: Code, numbers: int) -> None:
        """What masks and tables are made for."""
        tags = SideBlock((TAG_BITS,) * LANES, code.limb_bits).count
        self._ciphertexts = max(self._ciphertexts, self._layout(code).plaintexts(numbers + tags))
        self._left -= 1
        self._own = code

    def seal(self) -> Seal:
        """By tags under the trainers' secret, tied to all sums before."""
        me, all_of_us = str(self._ctx.address), [str(trainer) for trainer in self._trainers]
        self._last = Seal.of(self._secret, self._transcript, me, all_of_us)
        return self._last

    def kept(self) -> Kept:
        """The transcript."""
        return {"transcript": np.frombuffer(self._transcript, dtype=np.uint8)}

    def part_numbers(self, code: Code) -> int:
        """As many as some ciphertexts hold."""
        return PART_CIPHERTEXTS * self._layout(code).slots

    def send(self, step: Step, code: Code, numbers: Integers) -> None:
        """Encrypted."""
        self._ctx.channel.send(self._arbiter, "update", step, self._engine.encrypt(self._layout(code), numbers))

    def receive(self, step: Step, code: Code, count: int) -> Integers | None:
        """Decrypted; while it is not there, masks for the next vector are made.

        None if the plaintexts are no sum of so many vectors. That is no error yet: what the arbiter sees of it, and
        when, must not depend on what it could not read.
        """
        layout = self._layout(code)
        self._masks = 0 if self._left <= 0 and code == self._own else self._ciphertexts
        shares = shares_of(layout.plaintexts(count), len(self._holders))
        whole = len(shares) < len(self._holders)
        rows = []
        mine = self._own_rows(step, layout, count, shares)
        for holder, (first, last) in zip(self._holders, shares, strict=False):
            own = holder == self._ctx.address or (whole and self._is_holder)
            rows.append(mine if own else self._received(holder, step, last - first))
        plaintexts = np.concatenate(rows)
        try:
            return layout.unpack(plaintexts, count, len(self._trainers))
        except WrongLayout:
            return None

    @property
    def _transcript(self) -> bytes:
        """Of all sums so far."""
        return self._last.summed.transcript() if self._last else self._first

    @property
    def _engine(self) -> VectorPaillier:
        """Made when the length of a vector is known."""
        if self._made is None:
            self._made = VectorPaillier(self._key, max(self._left + 1, 1) * self._ciphertexts, self._ctx.compute)
        return self._made

    @property
    def _is_holder(self) -> bool:
        return self._ctx.address in self._holders

    def _layout(self, code: Code) -> FixedPointLayout:
        return packed(code, self._settings)

    def _own_rows(self, step: Step, layout: FixedPointLayout, count: int, shares: Sequence[tuple[int, int]]) -> Rows:
        """Decrypt the own share and pass it on to those who cannot, or need not."""
        if not self._is_holder:
            return np.zeros((0, 0), dtype=np.uint8)
        whole, place = len(shares) < len(self._holders), self._holders.index(self._ctx.address)
        first, last = shares[0] if whole else shares[place]
        total = _ciphertexts(self._awaited(self._arbiter, "sum", step))
        if total.count != min(last * layout.slots, count) - first * layout.slots:
            raise WrongLayout(
                f"The arbiter's sum has {total.count} values, not those of ciphertexts {first} to {last}."
            )
        rows, terms = self._engine.decrypt_rows(layout, total)
        if terms != len(self._trainers):
            raise WrongLayout(f"The arbiter's sum has {terms} terms; there are {len(self._trainers)} trainers.")
        others = [t for t in self._trainers if t != self._ctx.address and not (whole and t in self._holders)]
        if not whole or place == 0:
            self._ctx.channel.broadcast(others, "share", step, rows)
        return rows

    def _received(self, holder: Address, step: Step, ciphertexts: int) -> Rows:
        rows = self._awaited(holder, "share", step)
        expected = (ciphertexts, self._engine.public.plaintext_bytes)
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape != expected:
            raise ParametersDiffer(f"{holder} did not send the {ciphertexts} plaintexts that are its share.")
        return rows

    def _awaited(self, frm: Address, tag: str, step: Step) -> Value:
        with self._engine.preparing(self._masks) if self._masks else nullcontext():
            return self._ctx.channel.recv(frm, tag, step)


class PaillierArbiter:
    """The arbiter's side."""

    def __init__(self, ctx: Context, settings: ProtectionSettings) -> None:
        self._channel = ctx.channel
        self._settings = settings
        self._trainers = ctx.peers(*TRAINERS)
        self._holders = key_agreement.holders(self._trainers, settings)
        self._engine = VectorPaillier(key_agreement.agree_on_key(ctx, settings), compute=ctx.compute)

    def add(self, step: int, code: Code) -> None:
        """Part by part; each key holder gets what it decrypts."""
        layout = packed(code, self._settings)
        part, full = 0, True
        while full:
            updates = self._channel.gather(self._trainers, "update", (step, part))
            total = self._engine.add([_ciphertexts(update) for update in updates], layout)
            shares = shares_of(len(total.data), len(self._holders))
            for holder, (first, last) in zip(self._holders, shares * (len(self._holders) // len(shares)), strict=True):
                share = slice_of(total, first * layout.slots, min(last * layout.slots, total.count))
                self._channel.send(holder, "sum", (step, part), share)
            full = total.count == PART_CIPHERTEXTS * layout.slots
            part += 1


def packed(code: Code, settings: ProtectionSettings) -> FixedPointLayout:
    """How a code's integers share a ciphertext under the key that the settings ask for."""
    if not isinstance(code, FixedPointCode):
        raise TypeError("Ciphertexts carry whole numbers.")
    return code.layout.under(settings.key_bits)


def shares_of(ciphertexts: int, holders: int) -> list[tuple[int, int]]:
    """Which ciphertexts of a part each holder decrypts; a single share if each is to decrypt all of them."""
    if ciphertexts < SHARED_FROM:
        return [(0, ciphertexts)]
    return [(ciphertexts * i // holders, ciphertexts * (i + 1) // holders) for i in range(holders)]


def _ciphertexts(value: Value) -> Ciphertexts:
    if not isinstance(value, Ciphertexts):
        raise ParametersDiffer("An encrypted vector was expected.", hint="Give all parties the same `protection`.")
    return value
