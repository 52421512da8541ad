"""The weighted sum of the trainers' vectors, made by the arbiter: in the clear, in fixed point, or under Paillier.

Conversation, `step` numbers the sums; under Paillier those of `algorithms.key_agreement` and `algorithms.secure_sum`:

    tag       from      to         step          what
    update    trainer   arbiter    (sum, part)   a part of a weighted vector: numbers, or its fixed-point integers
    sum       arbiter   trainers   (sum, part)   the sum of all: numbers or integers

The last part is the first that is not full. Numbers are float32 if the vector is, else float64; so is the sum that a
trainer gets, however it was made.

Under Paillier the arbiter has the public key alone, so it must not be a trainer too: it would hold both the updates
and the key. In compact packing each sum takes two: step 2s finds the range, 2s + 1 adds the vectors. In fixed point
the arbiter adds the same integers that Paillier would carry, so in exact packing both runs end bit for bit alike.
Trainers weight their vectors before they round and send them; vectors are added in address order, whatever the order
of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray
from pydantic import Field

from algorithms import key_agreement, secure_sum
from algorithms.component import ARBITER, TRAINERS, Line, Parameters, Protection
from algorithms.context import Context
from algorithms.crypto.feedback import FeedbackRounding, Kept, NearestRounding, Rounding
from algorithms.crypto.packing import FixedPointLayout, Integers, require_finite
from algorithms.crypto.vectors import VectorPaillier
from algorithms.errors import ParametersDiffer, RolesRefused, WrongLayout
from algorithms.named_vectors import NamedVectors, Piece, Vectors, cut
from party.ids import Role
from storage.client import Value

PART_VALUES = 1 << 21  # of a part in the clear, at most 16 MiB: larger ones cost memory, smaller ones time
OVERHEAD_BYTES = 1 << 16
LONG_TURNS = 10  # five parts sent and received

Step: TypeAlias = tuple[int, int]
Part: TypeAlias = tuple[int, int]  # where it begins and ends


class AggregationParameters(Parameters):
    """How the trainers' vectors are protected on their way through the arbiter."""

    secure: Literal["plain", "paillier"] = Field("plain", description="What the arbiter may see: the updates, or not.")
    fixed_point: bool = Field(
        False, description="Plain, but rounded as Paillier would; in exact packing with the same result bit for bit."
    )
    packing: Literal["exact", "compact"] = Field(
        "exact", description="33 bits a number, or 16 with stochastic rounding and error feedback."
    )
    value_range: float = Field(
        16.0, gt=0, le=2.0**40, description="Every number in a weighted update is smaller than this."
    )
    key_bits: Literal[2048, 3072, 4096] = Field(2048, description="Length of the Paillier modulus.")
    keygen: Literal["standard", "subgroup"] = Field(
        "standard", description="subgroup: faster, under a stronger assumption (docs/security.md)."
    )
    key_holders: tuple[str, ...] | None = Field(
        None, description="Trainers (party ids) that receive the private key and decrypt; left out: all."
    )

    def alike(self) -> dict[str, object]:
        """How vectors are protected, on all sides."""
        return self.model_dump(include=set(AggregationParameters.model_fields))


def conversation(parameters: AggregationParameters) -> tuple[Line, ...]:
    """The lines of the tables above."""
    if parameters.secure == "paillier":
        return (*key_agreement.conversation(), *secure_sum.conversation())
    kind, limit = "record" if parameters.fixed_point else "array", 8 * PART_VALUES + OVERHEAD_BYTES
    update, total = "A part of one weighted update, which the arbiter sees.", "The sum of that part, which it sees too."
    return (
        Line("update", TRAINERS, ARBITER, "(sum, part)", kind, limit, Protection.PLAIN, update),
        Line("sum", ARBITER, TRAINERS, "(sum, part)", kind, limit, Protection.PLAIN, total),
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
    if parameters.secure == "paillier":
        key_agreement.require_holders(trainers, parameters)
        if arbiters[0] in trainers:
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
        expected: About how many sums there will be; sizes the encryption's precomputed tables.
        kept: What `kept` of an earlier object said, to go on from.
    """

    def __init__(
        self, ctx: Context, parameters: AggregationParameters, expected: int, kept: Kept | None = None
    ) -> None:
        require_aggregating_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._left = expected
        self._trainers = ctx.peers(*TRAINERS)
        self._arbiter = ctx.peers(Role.ARBITER)[0]
        self._rounding = rounding_of(parameters, len(self._trainers), kept)
        self._secure = parameters.secure == "paillier"
        self._key = key_agreement.agree_on_key(ctx, parameters) if self._secure else None
        self._engine: VectorPaillier | None = None
        self._ciphertexts = 0  # of one vector

    def sum(self, step: int, vectors: Vectors, weight: float = 1.0) -> dict[str, NDArray[Any]]:
        """The sum over all trainers of weight * vectors, by the same names and shapes; float32 if all vectors are.

        Raises:
            NotFinite, ValueOutgrewLayout: Before the value is sent, with the vector's name and the index in it.
            NotFinite: The sum that came is not finite.
            ParametersDiffer, WrongKey, WrongLayout, BadCiphertext: What came is not what was agreed.
        """
        whole = NamedVectors(vectors)
        if not self._secure and not self._parameters.fixed_point:
            total = self._plain(step, whole, weight)
        else:
            total = self._rounded(step, whole, weight)
        self._left -= 1
        return whole.shaped(total)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint between two sums has to hold; empty if nothing."""
        return dict(self._rounding.kept())

    def close(self) -> None:
        """Let go of processes that computed."""
        if self._engine is not None:
            self._engine.close()

    def _plain(self, step: int, whole: NamedVectors, weight: float) -> NDArray[Any]:
        """Add; the whole vector is seen before, so that nothing of it is sent if a value is not finite."""
        for piece in whole.pieces(0, whole.count):
            require_finite(_times(weight, piece, whole.dtype), piece.name, piece.start)

        def send(at: Step, part: Part) -> None:
            self._send(at, _weighted(whole, weight, part))

        def receive(at: Step, part: Part) -> NDArray[Any]:
            total = _numbers(self._ctx.channel.recv(self._arbiter, "sum", at))
            _require_form(total, part[1] - part[0], whole.dtype, str(self._arbiter))
            require_finite(total, "sum", part[0])
            return total

        return self._in_parts(step, whole, PART_VALUES, send, receive)

    def _rounded(self, step: int, whole: NamedVectors, weight: float) -> NDArray[Any]:
        """Round and add; the whole vector is seen before, so that nothing of it is sent if a value does not fit."""
        rounding = self._rounding
        self._ciphertexts = rounding.layout.plaintexts(whole.count)
        rounding.begin(whole.count, lambda: self._ctx.own_rng("rounding", step))
        for piece in whole.pieces(0, whole.count):
            rounding.look(_times(weight, piece), piece.name, piece.start, piece.at)
        if not isinstance(rounding, FeedbackRounding):
            return self._summed(step, rounding, whole, weight)
        marks = NearestRounding(range_layout(self._parameters, len(self._trainers)))
        own = NamedVectors({"range": rounding.mark()})
        rounding.cover(self._summed(2 * step, marks, own, 1.0), len(self._trainers))
        return self._summed(2 * step + 1, rounding, whole, weight)

    def _summed(self, step: int, rounding: Rounding, whole: NamedVectors, weight: float) -> NDArray[Any]:
        return (self._encrypted if self._secure else self._fixed)(step, rounding, whole, weight)

    def _fixed(self, step: int, rounding: Rounding, whole: NamedVectors, weight: float) -> NDArray[Any]:
        def send(at: Step, part: Part) -> None:
            self._send(at, _fixed_record(_integers(rounding, whole, weight, part), rounding.layout, terms=1))

        def receive(at: Step, part: Part) -> NDArray[Any]:
            summed, terms = _fixed_parts(self._ctx.channel.recv(self._arbiter, "sum", at), rounding.layout)
            _require_form(summed, part[1] - part[0], np.int64, str(self._arbiter))
            if terms != len(self._trainers):
                raise WrongLayout(f"The arbiter's sum has {terms} terms; there are {len(self._trainers)} trainers.")
            return rounding.floats(summed)

        return self._in_parts(step, whole, PART_VALUES, send, receive)

    def _encrypted(self, step: int, rounding: Rounding, whole: NamedVectors, weight: float) -> NDArray[Any]:
        side = self._side(rounding.layout)
        is_last = self._left == 1 and rounding is self._rounding
        prepare = 0 if is_last else self._ciphertexts

        def send(at: Step, part: Part) -> None:
            side.send(at, _integers(rounding, whole, weight, part))

        def receive(at: Step, part: Part) -> NDArray[Any]:
            return rounding.floats(side.receive(at, part[1] - part[0], prepare))

        return self._in_parts(step, whole, secure_sum.part_values(rounding.layout), send, receive)

    def _in_parts(
        self,
        step: int,
        whole: NamedVectors,
        size: int,
        send: Callable[[Step, Part], None],
        receive: Callable[[Step, Part], NDArray[Any]],
    ) -> NDArray[Any]:
        """Send a vector part by part, then take its sum part by part."""
        cuts = cut(whole.count, size)
        total = np.empty(whole.count, dtype=whole.dtype)
        with self._progress(step, 2 * len(cuts)) as progress:
            for i, part in enumerate(cuts):
                send((step, i), part)
                progress(i + 1)
            pa.default_memory_pool().release_unused()  # what the parts that were sent took
            for i, part in enumerate(cuts):
                total[slice(*part)] = receive((step, i), part)
                progress(len(cuts) + i + 1)
        return total

    def _progress(self, step: int, turns: int) -> AbstractContextManager[Callable[[int], None]]:
        """Shows how far a sum is that takes long; a short one shows in the count of rounds."""
        if turns < LONG_TURNS:
            return nullcontext(lambda _done: None)
        return self._ctx.progress(turns, f"parts of sum {step}, sent and received")

    def _side(self, layout: FixedPointLayout) -> secure_sum.TrainerSide:
        if self._key is None:
            raise RuntimeError("Only encrypted sums have a key.")
        if self._engine is None:
            self._engine = VectorPaillier(self._key, self._left * self._ciphertexts, self._ctx.cores)
        able = key_agreement.holders(self._trainers, self._parameters)
        return secure_sum.TrainerSide(self._ctx, self._engine, layout, able, self._arbiter)

    def _send(self, at: Step, value: Value) -> None:
        self._ctx.channel.send(self._arbiter, "update", at, value)


class Adder:
    """The arbiter's side: add what the trainers send, give the sum back to each."""

    def __init__(self, ctx: Context, parameters: AggregationParameters) -> None:
        require_aggregating_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._trainers = ctx.peers(*TRAINERS)
        self._layout = rounding_of(parameters, len(self._trainers)).layout
        self._engine: VectorPaillier | None = None
        if parameters.secure == "paillier":
            self._engine = VectorPaillier(key_agreement.agree_on_key(ctx, parameters), cores=ctx.cores)

    def add(self, step: int) -> None:
        """One sum. Raises ParametersDiffer, WrongKey, WrongLayout, BadCiphertext."""
        if self._parameters.packing == "compact" and (self._engine is not None or self._parameters.fixed_point):
            self._add(2 * step, range_layout(self._parameters, len(self._trainers)))
            self._add(2 * step + 1, self._layout)
        else:
            self._add(step, self._layout)

    def _add(self, step: int, layout: FixedPointLayout) -> None:
        if self._engine is not None:
            able = key_agreement.holders(self._trainers, self._parameters)
            secure_sum.add_parts(self._ctx, self._engine, layout, able, step)
            return
        part, full = 0, True
        while full:
            updates = self._ctx.channel.gather(self._trainers, "update", (step, part))
            total, count = self._total(updates, layout)
            self._ctx.channel.broadcast(self._trainers, "sum", (step, part), total)
            full = count == PART_VALUES
            part += 1

    def close(self) -> None:
        """Let go of processes that computed."""
        if self._engine is not None:
            self._engine.close()

    def _total(self, updates: list[Value], layout: FixedPointLayout) -> tuple[Value, int]:
        """The sum of one part, and how many values it has."""
        if not self._parameters.fixed_point:
            total: NDArray[Any] = self._added([_numbers(update) for update in updates])
            return total, len(total)
        parts = [_fixed_parts(update, layout) for update in updates]
        total = self._added([integers for integers, _ in parts])
        return _fixed_record(total, layout, sum(terms for _, terms in parts)), len(total)

    def _added(self, vectors: list[NDArray[Any]]) -> NDArray[Any]:
        for trainer, vector in zip(self._trainers, vectors, strict=True):
            _require_form(vector, vectors[0].size, vectors[0].dtype, str(trainer))
        return reduce(np.add, vectors)


def rounding_of(parameters: AggregationParameters, trainers: int, kept: Kept | None = None) -> Rounding:
    """How all sides round, and the layout that follows alike from the parameters and the number of trainers."""
    if parameters.packing == "compact":
        layout = FixedPointLayout.compact(1.0, trainers, parameters.key_bits)
        return FeedbackRounding(layout, parameters.value_range, kept)
    return NearestRounding(FixedPointLayout.exact(parameters.value_range, trainers, parameters.key_bits))


def range_layout(parameters: AggregationParameters, trainers: int) -> FixedPointLayout:
    """How the marks are added that set the range of a compact sum: zeros and ones, a few bits each."""
    return FixedPointLayout.exact(2.0, trainers, parameters.key_bits, value_bits=2)


def _times(weight: float, piece: Piece, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """A piece of the weighted vector; what is rounded is computed in float64, whatever it comes from."""
    weighted: NDArray[Any] = np.multiply(weight, piece.values, dtype=dtype)
    return weighted


def _weighted(whole: NamedVectors, weight: float, part: Part) -> NDArray[Any]:
    """A part of the weighted vector."""
    start, stop = part
    values = np.empty(stop - start, dtype=whole.dtype)
    for piece in whole.pieces(start, stop):
        values[piece.at - start : piece.at - start + len(piece.values)] = _times(weight, piece, whole.dtype)
    return values


def _integers(rounding: Rounding, whole: NamedVectors, weight: float, part: Part) -> Integers:
    """A part of the weighted vector, rounded piece by piece."""
    start, stop = part
    integers = np.empty(stop - start, dtype=np.int64)
    for piece in whole.pieces(start, stop):
        found = rounding.integers(_times(weight, piece), piece.at)
        integers[piece.at - start : piece.at - start + len(found)] = found
    return integers


def _fixed_record(integers: Integers, layout: FixedPointLayout, terms: int) -> dict[str, Any]:
    return {"layout": layout.to_json(terms), "integers": integers}


def _fixed_parts(value: Value, layout: FixedPointLayout) -> tuple[Integers, int]:
    record = _record(value)
    found, terms = FixedPointLayout.parse(str(record.get("layout")))
    integers = record.get("integers")
    if found != layout or not isinstance(integers, np.ndarray) or integers.dtype != np.int64:
        raise WrongLayout(
            f"A vector in {found} does not go with {layout}.", hint="Give all parties the same parameters."
        )
    if integers.size and max(-int(integers.min()), int(integers.max())) > terms * (layout.offset - 1):
        raise WrongLayout(f"An integer is larger than those of {terms} vectors in {layout}.")
    return integers, terms


def _record(value: Value) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParametersDiffer(f"A record was expected, not {type(value).__name__}.")
    return value


def _require_form(vector: NDArray[Any], length: int, dtype: DTypeLike, sender: str) -> None:
    if vector.ndim != 1 or len(vector) != length or vector.dtype != dtype:
        raise ParametersDiffer(
            f"{sender} sent {vector.dtype} numbers of shape {vector.shape}, {length} {np.dtype(dtype)} were expected."
        )


def _numbers(value: Value) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        raise ParametersDiffer(
            "A float32 or float64 vector was expected.", hint="Give all parties the same `secure` setting."
        )
    return value
