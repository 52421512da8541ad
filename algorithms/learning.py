"""Who learns what in a task, as sentences for the person who decides about a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algorithms.component import Terms

if TYPE_CHECKING:
    from algorithms.aggregation import AggregationParameters

NOTHING = "Nothing of another party's rows."
_TOGETHER = "together with one key holder, or lying and together with any trainer, it could read them."


def trainer_of_model(_terms: Terms[AggregationParameters]) -> str:
    """A trainer of a model that is trained in rounds."""
    return "The common model of every round, and loss and accuracy over all rows. " + _of_a_sum("update")


def arbiter_of_model(terms: Terms[AggregationParameters]) -> str:
    """Who adds up the updates of such a model."""
    seen = "Of rows: how many rows each trainer has, and which class labels occur. "
    if not terms.parameters.encrypted:
        return seen + "It also sees every trainer's update and score in the clear; updates can reveal single rows."
    return seen + "Updates and scores are encrypted to it; " + _TOGETHER


def trainer_of_scaler(_terms: Terms[AggregationParameters]) -> str:
    """A party that fits a scaler with others."""
    return "Mean and deviation of every column over all rows. " + _of_a_sum("means")


def arbiter_of_scaler(terms: Terms[AggregationParameters]) -> str:
    """Who adds up the means."""
    seen = "Of rows: how many each trainer has. "
    if not terms.parameters.encrypted:
        return seen + "It also sees every trainer's means and mean squares in the clear."
    return seen + "Means are encrypted to it; " + _TOGETHER


def _of_a_sum(what: str) -> str:
    return f"Of two trainers, each can work out the other's {what} from the sum."
