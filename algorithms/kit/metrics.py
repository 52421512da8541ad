"""How good a model is on one party's rows, and on everybody's: the row-weighted mean.

Scores are added up inside the trainers' sums, as whole numbers: whoever adds could use them to ask about rows if it
saw them, with models of its own choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.api.errors import NotFinite
from algorithms.kit.admission import rows_word
from algorithms.kit.side_block import Word

LOSS_BITS, LOSS_SCALE = 96, 40  # of a loss summed over rows: to 2^-40, below 2^56
RIGHT_BITS, RIGHT_SCALE = 61, 20  # of the number of rows that were judged rightly
LARGEST_LOSS = 2.0 ** (LOSS_BITS - LOSS_SCALE)


@dataclass(frozen=True)
class Score:
    """Loss and accuracy of a model on some rows. `rows` = 0 says that there are none."""

    loss: float = 0.0
    accuracy: float = 0.0
    rows: int = 0


@dataclass(frozen=True)
class Scores:
    """The scores of one model at one point of training, on the training rows and on those kept for validation."""

    train: Score
    validate: Score = Score()

    def words(self) -> list[Word]:
        """What is added up over all parties. Raises NotFinite for a loss that no training that goes well has."""
        return [word for score in (self.train, self.validate) for word in _words(score)]

    @staticmethod
    def from_words(words: Sequence[int]) -> Scores:
        """The scores over all rows of all parties, from the sums of their words."""
        return Scores(_mean(*words[:3]), _mean(*words[3:]))

    def metrics(self) -> dict[str, float]:
        """What is reported: `loss`, `accuracy`, and `validate_...` where somebody validates."""
        found = {"loss": self.train.loss, "accuracy": self.train.accuracy}
        if self.validate.rows:
            found |= {"validate_loss": self.validate.loss, "validate_accuracy": self.validate.accuracy}
        return found


def _words(score: Score) -> list[Word]:
    loss = score.loss * score.rows
    if not abs(loss) < LARGEST_LOSS:  # nor if it is no number
        raise NotFinite(
            f"The loss is {score.loss:.6g}.",
            hint="Training diverged: lower the learning rate, standardise the features, or look for bad rows.",
        )
    right = int(math.ldexp(score.accuracy * score.rows, RIGHT_SCALE) + 0.5)
    return [rows_word(score.rows), Word(int(math.ldexp(loss, LOSS_SCALE)), LOSS_BITS), Word(right, RIGHT_BITS)]


def _mean(rows: int, loss: int, right: int) -> Score:
    if rows <= 0:
        return Score()
    return Score(loss / (rows << LOSS_SCALE), right / (rows << RIGHT_SCALE), rows)
