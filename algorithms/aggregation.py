"""The weighted sum of the trainers' vectors, made by the arbiter: in the clear, in fixed point, or under Paillier.

Conversation, `step` numbers the sums:

    tag           from      to                  what
    public-key    trainer   arbiter, trainers   n and h of the key, once                         (paillier)
    private-key   trainer   trainers            p and q, once, sealed to the receiver            (paillier)
    update        trainer   arbiter             one weighted vector: float64 | integers | ciphertexts
    sum           arbiter   trainers            the sum of all: float64 | integers | ciphertexts

The first trainer in address order makes the key pair; every trainer decrypts. The arbiter has the public key alone,
so under Paillier it must not be a trainer too: it would hold both the updates and the key. In fixed point the arbiter
adds the same integers that Paillier would carry, so both runs end bit for bit alike. Trainers weight their vectors
before they send them; vectors are added in address order, whatever the order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.component import ARBITER, TRAINERS, Line, Parameters, Protection
from algorithms.context import Context
from algorithms.crypto.packing import FixedPointLayout, Floats, Integers, require_finite
from algorithms.crypto.paillier import Encryptor, PrivateKey, PublicKey, generate
from algorithms.crypto.vectors import add, decrypt, encrypt
from algorithms.errors import BadKey, ParametersDiffer, RolesRefused, WrongKey, WrongLayout
from party.ids import Role
from storage.client import Ciphertexts, Value

Vectors = Mapping[str, Floats]
KEY_BYTES = 1 << 14
OVERHEAD_BYTES = 1 << 16


class AggregationParameters(Parameters):
    """How the trainers' vectors are protected on their way through the arbiter."""

    secure: Literal["plain", "paillier"] = Field("plain", description="What the arbiter may see: the updates, or not.")
    fixed_point: bool = Field(False, description="Plain, but rounded as Paillier would: equals its result bit for bit.")
    key_bits: Literal[2048, 3072, 4096] = Field(2048, description="Length of the Paillier modulus.")
    value_range: float = Field(16.0, gt=0, le=2.0**40, description="Largest magnitude of a number in an update.")

    def alike(self) -> dict[str, object]:
        """What all parties of the task must have alike."""
        return self.model_dump(include=set(AggregationParameters.model_fields))


def conversation(parameters: AggregationParameters, max_bytes: int) -> tuple[Line, ...]:
    """The lines of the table above; `max_bytes` bounds a plain vector."""
    kind, protection = "array", Protection.PLAIN
    says = "The arbiter sees each update and the sum."
    keys: tuple[Line, ...] = ()
    if parameters.secure == "paillier":
        kind, protection = "ciphertexts", Protection.ENCRYPTED
        says = "The arbiter sees ciphertexts only."
        keys = _key_lines()
    elif parameters.fixed_point:
        kind = "record"
    limit = 2 * max_bytes + OVERHEAD_BYTES  # a packed ciphertext takes about 9 bytes a value, a float64 8
    update = Line("update", TRAINERS, ARBITER, "(sum,)", kind, limit, protection, f"One weighted update. {says}")
    total = Line("sum", ARBITER, TRAINERS, "(sum,)", kind, limit, protection, f"The sum of the updates. {says}")
    return (*keys, update, total)


def _key_lines() -> tuple[Line, ...]:
    public, private = "The public half of the job's key.", "The private half, sealed to each key holder."
    sealed = Protection.AGGREGATE_SEALED
    return (
        Line("public-key", TRAINERS, TRAINERS | ARBITER, "(0,)", "record", KEY_BYTES, Protection.PLAIN, public),
        Line("private-key", TRAINERS, TRAINERS, "(0,)", "record", KEY_BYTES, sealed, private),
    )


def require_aggregating_roles(parameters: AggregationParameters, roles: Mapping[Role, Sequence[str]]) -> None:
    """Raises RolesRefused: no trainer, one twice, not one arbiter, or an arbiter that could decrypt what it adds."""
    trainers = sorted(party for role in TRAINERS for party in roles.get(role, ()))
    arbiters = roles.get(Role.ARBITER, ())
    if not trainers:
        raise RolesRefused(
            "The task has no trainer.", hint="Give it at least one guest or host; two or more to federate."
        )
    if twice := [party for party in trainers if trainers.count(party) > 1]:
        raise RolesRefused(
            f"'{twice[0]}' is guest and host: a party trains once.", hint="Name it under one of the two roles."
        )
    if len(arbiters) != 1:
        raise RolesRefused(f"The task has {len(arbiters)} arbiters and needs one.", hint="Name one party as arbiter.")
    if parameters.secure == "paillier" and arbiters[0] in trainers:
        raise RolesRefused(
            f"'{arbiters[0]}' is arbiter and trainer: it would hold the private key to the updates it adds.",
            hint='Name another party as arbiter, or choose `"secure": "plain"`.',
        )


def require_aggregating_addresses(ctx: Context, parameters: AggregationParameters) -> None:
    """The same rules for this executor's own parameters: it refuses by itself, whoever admitted the job."""
    require_aggregating_roles(parameters, {role: [a.party for a in ctx.peers(role)] for role in Role})


class Contributor:
    """A trainer's side: give weighted vectors, get the sum of everybody's.

    Args:
        ctx: The trainer's context.
        parameters: How vectors are protected.
        expected: About how many sums there will be; sizes the encryption's precomputed table.
    """

    def __init__(self, ctx: Context, parameters: AggregationParameters, expected: int) -> None:
        require_aggregating_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._trainers = ctx.peers(*TRAINERS)
        self._arbiter = ctx.peers(Role.ARBITER)[0]
        self._layout = layout_of(parameters, len(self._trainers))
        self._expected = expected
        self._private = _agree_on_key(ctx, parameters) if parameters.secure == "paillier" else None
        self._encryptor: Encryptor | None = None

    def sum(self, step: int, vectors: Vectors) -> dict[str, Floats]:
        """The sum over all trainers, by the same names and shapes.

        Raises:
            NotFinite, ValueOutgrewLayout: Before anything is sent, with the vector's name and the index in it.
        """
        shapes = {name: np.shape(vector) for name, vector in vectors.items()}
        flat = {name: np.asarray(vector, dtype=np.float64).reshape(-1) for name, vector in vectors.items()}
        total = self._paillier(step, flat) if self._private else self._plain(step, flat)
        _require_length(total, sum(len(vector) for vector in flat.values()), str(self._arbiter))
        ends = np.cumsum([len(vector) for vector in flat.values()])
        parts = np.split(total, ends[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def _plain(self, step: int, flat: Vectors) -> Floats:
        if not self._parameters.fixed_point:
            for name, vector in flat.items():
                require_finite(vector, name)
            return _floats(self._exchange(step, np.concatenate(list(flat.values()))))
        integers, layout = self._integers(flat), self._layout
        total = self._exchange(step, _fixed(integers, layout, terms=1))
        summed, terms = _fixed_parts(total, layout)
        _require_terms(terms, len(self._trainers))
        return layout.floats(summed)

    def _paillier(self, step: int, flat: Vectors) -> Floats:
        private = cast("PrivateKey", self._private)
        integers = self._integers(flat)
        if self._encryptor is None:
            expected = self._expected * self._layout.plaintexts(len(integers))
            self._encryptor = Encryptor(private, expected)
        total = self._exchange(step, encrypt(self._encryptor, self._layout, integers))
        summed, terms = decrypt(private, self._layout, _ciphertexts(total))
        _require_terms(terms, len(self._trainers))
        return self._layout.floats(summed)

    def _integers(self, flat: Vectors) -> Integers:
        return np.concatenate([self._layout.integers(vector, name) for name, vector in flat.items()])

    def _exchange(self, step: int, value: Value) -> Value:
        self._ctx.channel.send(self._arbiter, "update", step, value)
        return self._ctx.channel.recv(self._arbiter, "sum", step)


class Adder:
    """The arbiter's side: add what the trainers send, give the sum back to each."""

    def __init__(self, ctx: Context, parameters: AggregationParameters) -> None:
        require_aggregating_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._trainers = ctx.peers(*TRAINERS)
        self._layout = layout_of(parameters, len(self._trainers))
        self._public = _receive_key(ctx, parameters) if parameters.secure == "paillier" else None

    def add(self, step: int) -> None:
        """One sum. Raises ParametersDiffer, WrongKey, WrongLayout, BadCiphertext."""
        updates = self._ctx.channel.gather(self._trainers, "update", step)
        self._ctx.channel.broadcast(self._trainers, "sum", step, self._total(updates))

    def _total(self, updates: list[Value]) -> Value:
        if self._public:
            return add(self._public, [_ciphertexts(update) for update in updates])
        if not self._parameters.fixed_point:
            vectors = [_floats(update) for update in updates]
            for trainer, vector in zip(self._trainers, vectors, strict=True):
                _require_length(vector, len(vectors[0]), str(trainer))
            return reduce(np.add, vectors)
        parts = [_fixed_parts(update, self._layout) for update in updates]
        for trainer, (integers, _) in zip(self._trainers, parts, strict=True):
            _require_length(integers, len(parts[0][0]), str(trainer))
        return _fixed(reduce(np.add, [p for p, _ in parts]), self._layout, sum(terms for _, terms in parts))


def layout_of(parameters: AggregationParameters, trainers: int) -> FixedPointLayout:
    """The layout that all sides derive alike from the parameters and the number of trainers."""
    return FixedPointLayout.exact(parameters.value_range, trainers, parameters.key_bits)


def _agree_on_key(ctx: Context, parameters: AggregationParameters) -> PrivateKey:
    """Make the key pair (first trainer) or receive it. A restarted executor finds it in its sealed journal."""
    trainers = ctx.peers(*TRAINERS)
    maker = trainers[0]
    if ctx.address == maker:
        private = PrivateKey.from_record(
            _record(ctx.once("paillier-key", lambda: generate(parameters.key_bits).record()))
        )
        others = [address for address in ctx.addresses if address != maker]
        ctx.channel.broadcast(others, "public-key", 0, private.public.record())
        ctx.channel.broadcast(trainers[1:], "private-key", 0, private.record())
        return private
    public = _receive_key(ctx, parameters)
    received = ctx.once("paillier-key", lambda: ctx.channel.recv(maker, "private-key", 0))
    private = PrivateKey.from_record(_record(received))
    if private.public != public:
        raise WrongKey(f"The private key that {maker} sent does not belong to the public key it sent.")
    return private


def _receive_key(ctx: Context, parameters: AggregationParameters) -> PublicKey:
    maker = ctx.peers(*TRAINERS)[0]
    received = ctx.once("paillier-public-key", lambda: ctx.channel.recv(maker, "public-key", 0))
    public = PublicKey.from_record(_record(received))
    if public.bits != parameters.key_bits:
        raise BadKey(f"{maker} sent a key of {public.bits} bits; the job says {parameters.key_bits}.")
    return public


def _fixed(integers: Integers, layout: FixedPointLayout, terms: int) -> dict[str, Any]:
    return {"layout": layout.to_json(terms), "integers": integers}


def _fixed_parts(value: Value, layout: FixedPointLayout) -> tuple[Integers, int]:
    record = _record(value)
    found, terms = FixedPointLayout.parse(str(record.get("layout")))
    integers = record.get("integers")
    if found != layout or not isinstance(integers, np.ndarray) or integers.dtype != np.int64:
        raise WrongLayout(
            f"A vector in {found} does not go with {layout}.", hint="Give all parties the same parameters."
        )
    return integers, terms


def _require_length(vector: NDArray[Any], length: int, sender: str) -> None:
    if vector.ndim != 1 or len(vector) != length:
        raise ParametersDiffer(f"{sender} sent a vector of shape {vector.shape}, {length} numbers were expected.")


def _require_terms(terms: int, trainers: int) -> None:
    if terms != trainers:
        raise WrongLayout(f"The arbiter's sum has {terms} terms; there are {trainers} trainers.")


def _floats(value: Value) -> Floats:
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        raise ParametersDiffer("A float64 vector was expected.", hint="Give all parties the same `secure` setting.")
    return value


def _ciphertexts(value: Value) -> Ciphertexts:
    if not isinstance(value, Ciphertexts):
        raise ParametersDiffer("An encrypted vector was expected.", hint="Give all parties the same `secure` setting.")
    return value


def _record(value: Value) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParametersDiffer(f"A record was expected, not {type(value).__name__}.")
    return value
