"""Who holds which half of a job's Paillier key.

Conversation, once:

    tag           from      to                  step   what
    public-key    trainer   arbiter, trainers   0      n and h, and how they were made
    private-key   trainer   trainers            0      the primes, sealed to each other key holder
    tag-key       trainer   trainers            0      what tags are made and checked with, sealed to each

All three are from the first key holder in address order, which makes the pair. The arbiter has the public half alone.
Both halves and the key of the tags (`algorithms.crypto.tags`) go to the sealed journal before they are used, so that a
restarted executor goes on with the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.errors import BadKey, ParametersDiffer, RolesRefused, WrongKey
from algorithms.crypto.paillier import PrivateKey, PublicKey, generate
from algorithms.crypto.tags import SECRET_BYTES
from algorithms.protection.settings import ProtectionSettings
from party.ids import Address
from storage.client import Kind, Value

KEY_BYTES = 1 << 14


def conversation() -> tuple[Line, ...]:
    """The table above as data."""
    public, private = "The public half of the job's key.", "The private half, sealed to each key holder."
    tag = "The trainers' secret, by which they see that the arbiter adds and does nothing else, sealed to each."
    everybody, plain, sealed = TRAINERS | ARBITER, Protection.PLAIN, Protection.AGGREGATE_SEALED
    return (
        Line("public-key", TRAINERS, everybody, Kind.RECORD, KEY_BYTES, plain, public, of_rows=False),
        Line("private-key", TRAINERS, TRAINERS, Kind.RECORD, KEY_BYTES, sealed, private, of_rows=False),
        Line("tag-key", TRAINERS, TRAINERS, Kind.BYTES, KEY_BYTES, sealed, tag, of_rows=False),
    )


def holders(trainers: Sequence[Address], settings: ProtectionSettings) -> tuple[Address, ...]:
    """The trainers that hold the private half, in address order."""
    named = settings.key_holders
    return tuple(trainer for trainer in sorted(trainers) if named is None or trainer.party in named)


def require_holders(trainers: Sequence[str], settings: ProtectionSettings) -> None:
    """Raises RolesRefused for a key holder that trains nothing, one named twice, or none at all."""
    named = settings.key_holders
    if named is None:
        return
    if not named or len(set(named)) != len(named):
        raise RolesRefused(
            "`protection.key_holders` names nobody, or a party twice.", hint="Name each holder once, or leave it out."
        )
    for party in named:
        if party not in trainers:
            raise RolesRefused(
                f"`protection.key_holders` names '{party}', which is no trainer of the task.",
                hint=f"Only trainers may hold the key: {', '.join(trainers)}.",
            )


def agree_on_key(ctx: Context, settings: ProtectionSettings) -> PrivateKey | PublicKey:
    """The private key for a key holder, the public one for everybody else.

    Raises:
        BadKey, WrongKey: What was received is no key, not the kind the job asks for, or its halves do not belong
            together.
    """
    able = holders(ctx.peers(*TRAINERS), settings)
    maker = able[0]
    if ctx.address == maker:
        made = ctx.once("paillier-key", lambda: generate(settings.key_bits, settings.keygen).record())
        private = PrivateKey.from_record(_record(made))
        others = [address for address in ctx.addresses if address != maker]
        ctx.channel.broadcast(others, "public-key", 0, private.public.record())
        ctx.channel.broadcast(able[1:], "private-key", 0, private.record())
        return private
    public = _public(ctx, settings, maker)
    if ctx.address not in able:
        return public
    received = ctx.once("paillier-key", lambda: ctx.channel.recv(maker, "private-key", 0))
    private = PrivateKey.from_record(_record(received))
    if private.public != public:
        raise WrongKey(f"The private key that {maker} sent does not belong to the public key it sent.")
    return private


def agree_on_secret(ctx: Context, settings: ProtectionSettings) -> bytes:
    """What the trainers share and the arbiter does not know, to make and check tags with. Raises BadKey."""
    trainers = ctx.peers(*TRAINERS)
    maker = holders(trainers, settings)[0]
    if ctx.address == maker:
        made = ctx.once("tag-key", lambda: secrets.token_bytes(SECRET_BYTES))
        ctx.channel.broadcast([trainer for trainer in trainers if trainer != maker], "tag-key", 0, made)
    else:
        made = ctx.once("tag-key", lambda: ctx.channel.recv(maker, "tag-key", 0))
    if not isinstance(made, bytes) or len(made) != SECRET_BYTES:
        raise BadKey(f"{maker} sent no key to make tags with: {SECRET_BYTES} bytes were expected.")
    return made


def _public(ctx: Context, settings: ProtectionSettings, maker: Address) -> PublicKey:
    received = ctx.once("paillier-public-key", lambda: ctx.channel.recv(maker, "public-key", 0))
    public = PublicKey.from_record(_record(received))
    if (public.bits, public.keygen) != (settings.key_bits, settings.keygen):
        raise BadKey(
            f"{maker} sent a {public.keygen} key of {public.bits} bits; the job says {settings.keygen}, "
            f"{settings.key_bits} bits."
        )
    return public


def _record(value: Value) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParametersDiffer(f"A key was expected, not a {type(value).__name__}.")
    return value
