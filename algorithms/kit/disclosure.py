"""Who learns what in a task, as sentences for the person who decides about a job."""

from __future__ import annotations

from typing import Any

from algorithms.api.component import Terms

NOTHING = "Nothing of another party's rows."
TRAINER_OF_MODEL = (
    "The common model of every round, and loss and accuracy over all rows. "
    "Of two trainers, each can work out the other's update from the sum."
)
TRAINER_OF_SCALER = (
    "Mean and deviation of every column over all rows. "
    "Of two trainers, each can work out the other's means from the sum."
)
_TOGETHER = "together with one key holder, or lying and together with any trainer, it could read them."
UPDATES = {  # by kind of protection
    "plain": "It also sees every trainer's update and score in the clear; updates can reveal single rows.",
    "paillier": f"Updates and scores are encrypted to it; {_TOGETHER}",
}
MEANS = {
    "plain": "It also sees every trainer's means and mean squares in the clear.",
    "paillier": f"Means are encrypted to it; {_TOGETHER}",
}


def arbiter_of_model(terms: Terms[Any]) -> str:
    """Who adds up the updates of a model that is trained in rounds."""
    seen = "Of rows: how many rows each trainer has, and which class labels occur. "
    return seen + UPDATES[terms.parameters.protection.kind]


def arbiter_of_scaler(terms: Terms[Any]) -> str:
    """Who adds up the means."""
    return "Of rows: how many each trainer has. " + MEANS[terms.parameters.protection.kind]
