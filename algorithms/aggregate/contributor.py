"""The trainers' side of the sums of `aggregate.aggregation`: it gives weighted vectors and gets everybody's sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from algorithms.aggregate import aggregation
from algorithms.aggregate.aggregation import (
    AggregationParameters,
    Step,
    check_addresses,
    fixed_parts,
    fixed_record,
    numbers,
    range_layout,
    require_form,
    rounding_of,
)
from algorithms.aggregate.passage import Form, Passage, Seal
from algorithms.api.component import TRAINERS
from algorithms.api.context import Context
from algorithms.api.errors import WrongLayout
from algorithms.crypto.packing import FixedPointLayout, require_finite
from algorithms.crypto.tags import SumTags, first_transcript
from algorithms.crypto.vectors import VectorPaillier
from algorithms.encoding.feedback import FeedbackRounding, Kept, NearestRounding, Rounding
from algorithms.kit.named_vectors import NamedVectors, Piece, Vectors, cut
from algorithms.kit.side_block import FLOAT_LIMB_BITS, Word
from algorithms.protection import key_agreement, secure_sum
from party.ids import Address, Role
from storage.client import Value

Part: TypeAlias = tuple[int, int]  # where it begins and ends
_Found: TypeAlias = tuple[NDArray[Any], tuple[int, ...]]  # values and words
LONG_TURNS = 10  # five parts sent and received


@dataclass(frozen=True)
class Summed:
    """What a sum gave: everybody's vectors by the names of the own ones, and everybody's words in their order."""

    vectors: dict[str, NDArray[Any]]
    words: tuple[int, ...]


class Contributor:
    """A trainer's side: give weighted vectors, get the sum of everybody's.

    Args:
        ctx: The trainer's context.
        parameters: How vectors are protected.
        expected: About how many sums there will be; sizes the encryption's precomputed tables.
        common: What every trainer was told alike before the first sum, so that a difference is found.
        kept: What `kept` of an earlier object said, to go on from.
    """

    def __init__(
        self,
        ctx: Context,
        parameters: AggregationParameters,
        expected: int,
        common: bytes = b"",
        kept: Kept | None = None,
    ) -> None:
        check_addresses(ctx, parameters)
        self._ctx = ctx
        self._parameters = parameters
        self._left = expected
        self._trainers = ctx.peers(*TRAINERS)
        self._arbiter = ctx.peers(Role.ARBITER)[0]
        self._rounding = rounding_of(parameters, len(self._trainers), kept)
        self._secure = parameters.encrypted
        self._key = key_agreement.agree_on_key(ctx, parameters.protection) if self._secure else None
        self._secret = key_agreement.agree_on_secret(ctx, parameters.protection) if self._secure else b""
        self._transcript = _transcript(kept) or first_transcript(ctx.seed, *_names(self._trainers), common)
        self._engine: VectorPaillier | None = None
        self._ciphertexts = 0  # of the longest vector

    def sum(self, step: int, vectors: Vectors, weight: float = 1.0, words: Sequence[Word] = ()) -> Summed:
        """The sum over all trainers of weight * vectors, by the same names and shapes, and of the words as they are.

        Vectors are float32 if all are, else float64.

        Raises:
            NotFinite, ValueOutgrewLayout: Before the value is sent, with the vector's name and the index in it.
            NotFinite: The sum that came is not finite.
            SumNotWhole: The sum that came is not that of all trainers' vectors; encrypted, whatever was changed.
            ParametersDiffer, WrongKey, WrongLayout, BadCiphertext: What came is not what was agreed.
        """
        whole = NamedVectors(vectors)
        if not self._parameters.fixed_point:
            total, found = self._plain(step, whole, weight, words)
        else:
            total, found = self._rounded(step, whole, weight, words)
        self._left -= 1
        return Summed(whole.shaped(total), found)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint between two sums has to hold; empty if nothing."""
        sealed = {"transcript": np.frombuffer(self._transcript, dtype=np.uint8)} if self._secure else {}
        return dict(self._rounding.kept()) | sealed

    def _plain(self, step: int, whole: NamedVectors, weight: float, words: Sequence[Word]) -> _Found:
        """Add; the whole vector is seen before, so that nothing of it is sent if a value is not finite."""
        for piece in whole.pieces(0, whole.count):
            require_finite(_times(weight, piece, whole.dtype), piece.name, piece.start)
        form = Form(lambda piece: _times(weight, piece, whole.dtype), _same, whole.dtype, FLOAT_LIMB_BITS)
        passage = Passage(whole, words, form, None)

        def receive(at: Step, part: Part) -> NDArray[Any]:
            total = numbers(self._ctx.channel.recv(self._arbiter, "sum", at))
            require_form(total, part[1] - part[0], whole.dtype, str(self._arbiter))
            require_finite(total, "sum", part[0])
            return total

        return self._in_parts(step, passage, aggregation.PART_VALUES, self._send, receive)

    def _rounded(self, step: int, whole: NamedVectors, weight: float, words: Sequence[Word]) -> _Found:
        """Round and add; the whole vector is seen before, so that nothing of it is sent if a value does not fit."""
        rounding = self._rounding
        rounding.begin(whole.count, lambda: self._ctx.own_rng("rounding", step))
        for piece in whole.pieces(0, whole.count):
            rounding.look(_times(weight, piece), piece.name, piece.start, piece.at)
        ciphertexts = rounding.layout.plaintexts(self._passage(rounding, whole, weight, words).count)
        self._ciphertexts = max(self._ciphertexts, ciphertexts)
        if not isinstance(rounding, FeedbackRounding):
            return self._summed(step, rounding, self._passage(rounding, whole, weight, words))
        marks = NearestRounding(range_layout(self._parameters, len(self._trainers)))
        own = NamedVectors({"range": rounding.mark()})
        rounding.cover(self._summed(2 * step, marks, self._passage(marks, own, 1.0, ()))[0], len(self._trainers))
        return self._summed(2 * step + 1, rounding, self._passage(rounding, whole, weight, words))

    def _passage(self, rounding: Rounding, whole: NamedVectors, weight: float, words: Sequence[Word]) -> Passage:
        form = Form(
            lambda piece: rounding.integers(_times(weight, piece), piece.at),
            rounding.floats,
            np.int64,
            rounding.layout.value_bits - 1,
        )
        if not self._secure:
            return Passage(whole, words, form, None)
        own, summed = (SumTags(self._secret, self._transcript) for _ in range(2))
        return Passage(whole, words, form, Seal(own, summed, str(self._ctx.address), [str(t) for t in self._trainers]))

    def _summed(self, step: int, rounding: Rounding, passage: Passage) -> _Found:
        return (self._encrypted if self._secure else self._fixed)(step, rounding, passage)

    def _fixed(self, step: int, rounding: Rounding, passage: Passage) -> _Found:
        def send(at: Step, integers: NDArray[Any]) -> None:
            self._send(at, fixed_record(integers, rounding.layout, terms=1))

        def receive(at: Step, part: Part) -> NDArray[Any]:
            summed, terms = fixed_parts(self._ctx.channel.recv(self._arbiter, "sum", at), rounding.layout)
            require_form(summed, part[1] - part[0], np.int64, str(self._arbiter))
            if terms != len(self._trainers):
                raise WrongLayout(f"The arbiter's sum has {terms} terms; there are {len(self._trainers)} trainers.")
            return summed

        return self._in_parts(step, passage, aggregation.PART_VALUES, send, receive)

    def _encrypted(self, step: int, rounding: Rounding, passage: Passage) -> _Found:
        side = self._side(rounding.layout)
        is_last = self._left <= 1 and rounding is self._rounding
        prepare = 0 if is_last else self._ciphertexts

        def receive(at: Step, part: Part) -> NDArray[Any] | None:
            return side.receive(at, part[1] - part[0], prepare)

        found = self._in_parts(step, passage, secure_sum.part_values(rounding.layout), side.send, receive)
        self._transcript = passage.transcript()
        return found

    def _in_parts(
        self,
        step: int,
        passage: Passage,
        size: int,
        send: Callable[[Step, NDArray[Any]], None],
        receive: Callable[[Step, Part], NDArray[Any] | None],
    ) -> _Found:
        """Send a vector part by part, then take its sum part by part."""
        cuts = cut(passage.count, size)
        with self._progress(step, 2 * len(cuts)) as progress:
            for i, part in enumerate(cuts):
                send((step, i), passage.part(*part))
                progress(i + 1)
            pa.default_memory_pool().release_unused()  # what the parts that were sent took
            for i, part in enumerate(cuts):
                passage.take(part, receive((step, i), part))
                progress(len(cuts) + i + 1)
        return passage.finish()

    def _progress(self, step: int, turns: int) -> AbstractContextManager[Callable[[int], None]]:
        """Shows how far a sum is that takes long; a short one shows in the count of rounds."""
        if turns < LONG_TURNS:
            return nullcontext(lambda _done: None)
        return self._ctx.progress(turns, f"parts of sum {step}, sent and received")

    def _side(self, layout: FixedPointLayout) -> secure_sum.TrainerSide:
        if self._key is None:
            raise RuntimeError("Only encrypted sums have a key.")
        if self._engine is None:
            self._engine = VectorPaillier(self._key, max(self._left, 1) * self._ciphertexts, self._ctx.compute)
        able = key_agreement.holders(self._trainers, self._parameters.protection)
        return secure_sum.TrainerSide(self._ctx, self._engine, layout, able, self._arbiter)

    def _send(self, at: Step, value: Value) -> None:
        self._ctx.channel.send(self._arbiter, "update", at, value)


def _times(weight: float, piece: Piece, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """A piece of the weighted vector; what is rounded is computed in float64, whatever it comes from."""
    weighted: NDArray[Any] = np.multiply(weight, piece.values, dtype=dtype)
    return weighted


def _same(values: NDArray[Any]) -> NDArray[Any]:
    return values


def _names(addresses: Sequence[Address]) -> list[bytes]:
    return [str(address).encode() for address in addresses]


def _transcript(kept: Kept | None) -> bytes:
    """The transcript that a checkpoint holds; none if its sums were in the clear."""
    return bytes(np.asarray((kept or {}).get("transcript", ()), dtype=np.uint8))
