"""A trainer's side of sums: it gives weighted vectors and gets everybody's sum, however it travels.

A vector goes out in parts and its sum comes back in parts; the last part is the first that is not full. Where an
encoding needs to know something of all vectors before it writes one, each vector takes as many sums as it has codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.passage import Passage
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS
from algorithms.encoding.encoder import Encoder, Kept
from algorithms.kit.named_vectors import NamedVectors, Numbers, Vectors, Weights, cut, require_form
from algorithms.kit.side_block import SideBlock, Word
from party.ids import Address, Role

LONG_TURNS = 10  # five parts sent and received


@dataclass(frozen=True)
class Summed:
    """What a sum gave.

    Attributes:
        vectors: The members' vectors added up, by the names of the own ones.
        words: Their words added up, in their order.
        members: Whose vectors and words are in it.
    """

    vectors: Weights
    words: tuple[int, ...]
    members: tuple[Address, ...]


class Contributor:
    """A trainer's side: give weighted vectors, get the sum of everybody's.

    Args:
        ctx: The trainer's context.
        parameters: How vectors are written and protected.
        expected: About how many sums there will be.
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
        self._ctx = ctx
        self._members = ctx.peers(*TRAINERS)
        self._arbiter = str(ctx.peers(Role.ARBITER)[0])
        self._encoder = parameters.encoder(len(self._members), kept or {})
        self._side = parameters.scheme.trainer(ctx, expected, common, kept or {})

    def sum(self, step: int, vectors: Vectors, weight: float = 1.0, words: Sequence[Word] = ()) -> Summed:
        """The sum over all members of weight * vectors, by the same names and shapes, and of the words as they are.

        Vectors are float32 if all are, else float64.

        Raises:
            NotFinite, ValueOutgrewLayout: Before the value is sent, with the vector's name and the index in it.
            NotFinite: The sum that came is not finite.
            SumNotWhole: The sum that came is not that of all members' vectors; encrypted, whatever was changed.
            ParametersDiffer, WrongKey, WrongLayout, BadCiphertext: What came is not what was agreed.
        """
        whole, code = NamedVectors(vectors, weight), self._encoder.codes[-1]
        steps = itertools.count(step * len(self._encoder.codes))
        block = SideBlock(tuple(word.bits for word in words), code.limb_bits)
        self._side.expect(code, whole.count + block.count)

        def add(encoder: Encoder, own: Vectors) -> Numbers:
            return self._added(next(steps), encoder, NamedVectors(own))[0]

        self._encoder.begin(whole, lambda: self._ctx.own_rng("rounding", step), add)
        total, found = self._added(next(steps), self._encoder, whole, words)
        return Summed(whole.shaped(total), found, self._members)

    def kept(self) -> Mapping[str, Any]:
        """What a checkpoint between two sums has to hold; empty if nothing."""
        return {**self._encoder.kept(), **self._side.kept()}

    def _added(
        self, step: int, encoder: Encoder, whole: NamedVectors, words: Sequence[Word] = ()
    ) -> tuple[Numbers, tuple[int, ...]]:
        """Send a vector part by part, then take its sum part by part."""
        passage, code = Passage(whole, words, encoder, self._side.seal()), encoder.codes[-1]
        cuts = cut(passage.count, self._side.part_numbers(code))
        with self._progress(step, 2 * len(cuts)) as progress:
            for i, part in enumerate(cuts):
                self._side.send((step, i), code, passage.part(*part))
                progress(i + 1)
            pa.default_memory_pool().release_unused()  # what the parts that were sent took
            for i, (start, stop) in enumerate(cuts):
                numbers = self._side.receive((step, i), code, stop - start)
                if numbers is not None:
                    require_form(numbers, stop - start, encoder.dtype, self._arbiter)
                passage.take(start, stop, numbers)
                progress(len(cuts) + i + 1)
        return passage.finish()

    def _progress(self, step: int, turns: int) -> AbstractContextManager[Callable[[int], None]]:
        """Shows how far a sum is that takes long; a short one shows in the count of rounds."""
        if turns < LONG_TURNS:
            return nullcontext(lambda _done: None)
        return self._ctx.progress(turns, f"parts of sum {step}, sent and received")
