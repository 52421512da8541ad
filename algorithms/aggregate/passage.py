"""One trainer's vector on its way through a sum: out part by part, and the sum back in part by part.

Behind the values stand the side block (`algorithms.kit.side_block`) and, where the sum is sealed, the limbs of the tags
(`algorithms.crypto.tags`), which cover values and side block. Pure: what is sent and received is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import SumNotWhole
from algorithms.crypto.tags import LANES, TAG_BITS, Seal
from algorithms.encoding.encoder import Encoder
from algorithms.kit.named_vectors import NamedVectors, Numbers
from algorithms.kit.side_block import SideBlock, Word


class Passage:
    """The way of one vector. Parts are taken in order, each once.

    Args:
        whole: The values.
        words: What stands behind them.
        encoder: How they travel; it has begun with them before the first part is asked for.
        seal: How their sum is checked, if it is.
    """

    def __init__(self, whole: NamedVectors, words: Sequence[Word], encoder: Encoder, seal: Seal | None) -> None:
        self._whole = whole
        self._values = [word.value for word in words]
        self._encoder = encoder
        self._seal = seal
        limb_bits = encoder.codes[-1].limb_bits
        self._block = SideBlock(tuple(word.bits for word in words), limb_bits)
        self._tags = SideBlock((TAG_BITS,) * LANES if seal else (), limb_bits)
        self._total: Numbers = np.empty(whole.count, dtype=whole.dtype)
        self._ends: list[Numbers] = []
        self._spoilt = False

    @property
    def count(self) -> int:
        """How many numbers travel."""
        return self._whole.count + self._block.count + self._tags.count

    def part(self, start: int, stop: int) -> Numbers:
        """The numbers from `start` to `stop`, to be sent."""
        numbers = np.empty(stop - start, dtype=self._encoder.dtype)
        values = numbers[: max(self._whole.count - start, 0)]
        for piece in self._whole.pieces(start, start + len(values)):
            values[piece.at - start : piece.at - start + len(piece.values)] = self._encoder.encode(piece)
        if self._seal:
            self._seal.own.take(values)
        if len(values) < len(numbers):
            first = max(start - self._whole.count, 0)
            numbers[len(values) :] = self._end[first : first + len(numbers) - len(values)]
        return numbers

    def take(self, start: int, stop: int, numbers: Numbers | None) -> None:
        """The sums of the numbers of a part; None if they cannot be sums, which `finish` tells. Raises NotFinite."""
        if numbers is None:
            self._spoilt, numbers = True, np.zeros(stop - start, dtype=self._encoder.dtype)
        values = numbers[: max(self._whole.count - start, 0)]
        if self._seal:
            self._seal.summed.take(values)
        self._total[start : start + len(values)] = self._encoder.decode(values, start)
        self._ends.append(numbers[len(values) :])

    def finish(self) -> tuple[Numbers, tuple[int, ...]]:
        """The sum's values and words. Raises SumNotWhole if it is not the sum of what the trainers sent."""
        end = np.concatenate(self._ends)
        with np.errstate(invalid="ignore"):  # what is not finite is no whole number either
            limbs = end.astype(np.int64)
        if self._spoilt or (limbs != end).any() or not self._are_sealed(limbs):
            raise SumNotWhole(
                "What came back is not the sum of what the trainers sent, each once; nothing of it was used.",
                hint="The arbiter changed it, or a trainer was given other sums than this one. Do not go on with "
                "that arbiter before its party has explained it.",
            )
        return self._total, self._block.words(limbs[: self._block.count])

    def _are_sealed(self, limbs: NDArray[np.int64]) -> bool:
        """Whether the tags behind the sum are the sum's, if it has any."""
        if self._seal is None:
            return True
        self._seal.summed.take(limbs[: self._block.count])
        return self._seal.summed.are(self._tags.words(limbs[self._block.count :]), self._seal.senders)

    @cached_property
    def _end(self) -> NDArray[np.int64]:
        """What stands behind the values; asked for when all of them have gone by."""
        limbs = self._block.limbs(self._values)
        if self._seal is None:
            return limbs
        self._seal.own.take(limbs)
        return np.concatenate([limbs, self._tags.limbs(self._seal.own.of([self._seal.sender]))])
