"""How good a model is on one party's rows, and on everybody's: the row-weighted mean. Scalars only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from algorithms.errors import ParametersDiffer
from storage.client import Field, Value


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

    def record(self) -> dict[str, Field]:
        """The scores as a record to send."""
        parts = {"": self.train, "validate_": self.validate}
        return {f"{p}{name}": getattr(s, name) for p, s in parts.items() for name in ("loss", "accuracy", "rows")}

    @staticmethod
    def from_record(record: Value) -> Scores:
        """The scores of a record. Raises ParametersDiffer."""
        if not isinstance(record, Mapping):
            raise ParametersDiffer(f"A record of scores was expected, not {type(record).__name__}.")
        return Scores(_score(record, ""), _score(record, "validate_"))

    def metrics(self) -> dict[str, float]:
        """What is reported: `loss`, `accuracy`, and `validate_...` where somebody validates."""
        found = {"loss": self.train.loss, "accuracy": self.train.accuracy}
        if self.validate.rows:
            found |= {"validate_loss": self.validate.loss, "validate_accuracy": self.validate.accuracy}
        return found


def mean(scores: Iterable[Scores]) -> Scores:
    """The scores over all rows of all parties, in the order given."""
    all_scores = list(scores)
    return Scores(_mean([s.train for s in all_scores]), _mean([s.validate for s in all_scores]))


def _mean(scores: list[Score]) -> Score:
    rows = sum(score.rows for score in scores)
    if rows == 0:
        return Score()
    loss = sum(score.loss * score.rows for score in scores) / rows
    return Score(loss, sum(score.accuracy * score.rows for score in scores) / rows, rows)


def _score(record: Mapping[str, Value], prefix: str) -> Score:
    loss, accuracy, rows = (record.get(f"{prefix}{name}") for name in ("loss", "accuracy", "rows"))
    if not isinstance(loss, float) or not isinstance(accuracy, float) or not isinstance(rows, int):
        raise ParametersDiffer(f"A record of scores lacks '{prefix}loss', '{prefix}accuracy' or '{prefix}rows'.")
    return Score(loss, accuracy, rows)
