"""Logistic regression over rows split between parties: local mini-batch gradient descent, federated optimisation.

Source: McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (ClientUpdate); the rounds are `algorithms.federated`
(Reddi et al. 2021, arXiv:2003.00295, Algorithm 1).

Conversation; trainers are guests and hosts, `round` counts from 0:

    tag           from      to                 step         what
    join          trainer   arbiter            0            rows, coding of labels, digests of columns, settings, model
    start         arbiter   trainers           0            rows in all, coding of labels
    public-key    trainer   arbiter, trainers  0            (paillier) n and h, from the first key holder
    private-key   trainer   trainers           0            (paillier) its primes, sealed, to the other holders
    tag-key       trainer   trainers           0            (paillier) what tags are made with, from the first holder
    update        trainer   arbiter            (sum, part)  a part of n_k / n * (w_k - w), float64, and of scores
                                                            (paillier: encrypted)
    sum           arbiter   trainers           (sum, part)  the sum of that part (paillier: to key holders)
    share         trainer   trainers           (sum, part)  (paillier) what a key holder decrypted for all, sealed
    stop          trainer   arbiter            round        (with a tolerance) whether the loss stands still

Who learns what: the arbiter learns row counts; in the clear also every update and score, under Paillier none. The
trainers learn the model of each round, and loss and accuracy over all rows; of two trainers, each can subtract its own
update and learn the other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.aggregate import aggregation
from algorithms.api.component import SAFE_TRAINERS, Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import Line
from algorithms.api.errors import LabelsNotBinary, WrongModel
from algorithms.api.parameters import Group
from algorithms.federated import settings as training
from algorithms.federated.arbiter import coordinate
from algorithms.federated.learner import LocalResult
from algorithms.federated.settings import TrainingParameters
from algorithms.federated.trainer import train
from algorithms.kit import disclosure
from algorithms.kit.admission import Classes
from algorithms.kit.feature_matrix import (
    binary_labels,
    feature_names,
    features,
    label_coding,
    places_of_labels,
    required_table,
    title,
)
from algorithms.kit.metrics import Score, Scores
from algorithms.kit.named_vectors import Weights
from algorithms.models.linear import KIND, linear_model, log_loss, probability, weights_of
from storage.client import Model, Table

Floats = NDArray[np.float64]


class LinearTraining(Group):
    """How a trainer trains between two versions of the model."""

    learning_rate: float = Field(0.15, gt=0, description="Step of the gradient descent.")
    batch_size: int = Field(64, ge=1, description="Most rows in a mini-batch.")
    epochs: int = Field(1, ge=1, description="Passes over the own rows in a round.")
    weight_decay: float = Field(
        0.0, ge=0, description="L2 penalty: weight_decay / 2 * |w|^2 is added to the mean loss; not on the bias."
    )


class HomoLRParameters(TrainingParameters):
    """Parameters of `homo_lr@1`."""

    local: LinearTraining = Field(LinearTraining(), description="How each party trains on its own rows.")


def conversation(terms: Terms[HomoLRParameters]) -> tuple[Line, ...]:
    """The table above as data."""
    return training.conversation(terms.parameters)


def trainer(ctx: Context, parameters: HomoLRParameters) -> None:
    """A guest or host: learn from the own rows, keep the common model."""
    table = required_table(ctx, "train")
    learner = _LogisticLearner(ctx, parameters, table, ctx.inputs.table("validate"), ctx.inputs.model("model"))
    result = train(ctx, parameters, learner)
    coding = result.classes.tolist() or (0, 1)
    ctx.outputs.save_model("model", linear_model(result.weights, table.features, coding))


def arbiter(ctx: Context, parameters: HomoLRParameters) -> None:
    """The arbiter: add updates."""
    coordinate(ctx, parameters)


def trained(
    x: Floats, y: Floats, start: Weights, local: LinearTraining, batches: Sequence[NDArray[np.int64]]
) -> Weights:
    """ClientUpdate: a step of gradient descent for each mini-batch. Returns w_k.

    Source: McMahan et al. 2017, Algorithm 1; gradient of the mean log loss plus weight_decay / 2 * |w|^2.
    """
    w, b = start["weights"], start["bias"]
    for batch in batches:
        residual = probability(x[batch], w, b) - y[batch]
        gradient = x[batch].T @ residual / len(batch) + local.weight_decay * w
        w = w - local.learning_rate * gradient
        b = b - local.learning_rate * residual.mean(keepdims=True)
    return {"weights": w, "bias": b}


@dataclass(frozen=True)
class _LogisticLearner:
    """The rows of one trainer, as a training wants them."""

    ctx: Context
    parameters: HomoLRParameters
    table: Table
    validate: Table | None
    start: Model | None

    @cached_property
    def features(self) -> tuple[str, ...]:
        return feature_names(self.table)

    @property
    def rows(self) -> int:
        return self.table.rows

    @cached_property
    def classes(self) -> Classes:
        binary_labels(self.table)
        return label_coding(self.table)

    @property
    def warm_start(self) -> str:
        return self.start.digest() if self.start else ""

    @cached_property
    def _train(self) -> tuple[Floats, Floats]:
        return features(self.table, self.features), binary_labels(self.table)

    @property
    def labels(self) -> Floats:
        return self._train[1]

    @cached_property
    def _validate(self) -> tuple[Floats, Floats] | None:
        if self.validate is None or self.validate.rows == 0:
            return None
        return features(self.validate, self.features), binary_labels(self.validate)

    def initial(self, classes: Classes) -> Weights:
        """Zeros, or the model given to start from."""
        if len(classes) > 2:
            raise LabelsNotBinary(
                f"Table {title(self.table)} holds labels {self.classes.tolist()}, the trainers together "
                f"{classes.tolist()}.",
                hint="Write the labels alike everywhere: 0 and 1, or -1 and 1.",
            )
        if self.validate is not None and self.validate.rows:
            binary_labels(self.validate)
            places_of_labels(self.validate, classes, "The trainers write their labels otherwise.", LabelsNotBinary)
        if self.start is None:
            return {"weights": np.zeros(len(self.features)), "bias": np.zeros(1)}
        names, weights = weights_of(self.start)
        if names != self.features:
            raise WrongModel(f"The model to start from has other columns than table {title(self.table)}.")
        return weights

    def train(self, start: Weights, version: int) -> LocalResult:
        """Train on the own rows, in an order that follows from the common seed."""
        local = self.parameters.local
        batches = self.ctx.mini_batches(self.rows, local.batch_size, local.epochs, version)
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is found and named before it is sent
            return LocalResult(trained(*self._train, start, local, batches), len(batches))

    def score(self, common: Weights) -> Scores:
        """Mean log loss and accuracy at 0.5."""
        with np.errstate(over="ignore", invalid="ignore"):
            train = _score(*self._train, common)
            return Scores(train, _score(*self._validate, common)) if self._validate else Scores(train)


def _score(x: Floats, y: Floats, common: Weights) -> Score:
    z = x @ common["weights"] + common["bias"]
    return Score(log_loss(z, y), float(np.mean((z > 0) == (y == 1))), len(y))


COMPONENT = Component(
    name="homo_lr",
    version=1,
    parameters=HomoLRParameters,
    inputs=training.inputs(KIND),
    outputs=training.outputs(KIND),
    roles=aggregation.roles(
        RoleSpec(trainer, learns=disclosure.TRAINER_OF_MODEL), RoleSpec(arbiter, learns=disclosure.arbiter_of_model)
    ),
    conversation=conversation,
    check=aggregation.check,
    safe_trainers=SAFE_TRAINERS,
    last_step=training.last_round,
)
