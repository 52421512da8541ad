"""Who learns what in a task, as sentences for the person who decides about a job."""

from __future__ import annotations

from collections.abc import Mapping

from algorithms.aggregation import AggregationParameters
from algorithms.component import Parameters
from party.ids import Role

_TOGETHER = "together with one key holder, or lying and together with any trainer, it could read them."
_COUNTS = "how many rows each trainer has, and which class labels occur"


def nothing(_parameters: Parameters) -> Mapping[Role, str]:
    """Nobody hears anything of rows."""
    return dict.fromkeys(Role, "Nothing of another party's rows.")


def of_training(parameters: AggregationParameters) -> Mapping[Role, str]:
    """A model trained in rounds."""
    trainer = "The common model of every round, and loss and accuracy over all rows. " + _of_a_sum("update")
    seen = f"Of rows: {_COUNTS}. "
    if parameters.secure == "plain":
        arbiter = seen + "It also sees every trainer's update and score in the clear; updates can reveal single rows."
    else:
        arbiter = seen + "Updates and scores are encrypted to it; " + _TOGETHER
    return {Role.GUEST: trainer, Role.HOST: trainer, Role.ARBITER: arbiter}


def of_scaling(parameters: AggregationParameters) -> Mapping[Role, str]:
    """Means and deviations of columns."""
    trainer = "Mean and deviation of every column over all rows. " + _of_a_sum("means")
    seen = "Of rows: how many each trainer has. "
    if parameters.secure == "plain":
        arbiter = seen + "It also sees every trainer's means and mean squares in the clear."
    else:
        arbiter = seen + "Means are encrypted to it; " + _TOGETHER
    return {Role.GUEST: trainer, Role.HOST: trainer, Role.ARBITER: arbiter}


def _of_a_sum(what: str) -> str:
    return f"Of two trainers, each can work out the other's {what} from the sum."
