"""Logistic regression over rows split between parties: local mini-batch gradient descent, federated optimisation.

Source: McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (ClientUpdate); the rounds are `algorithms.federated`
(Reddi et al. 2021, arXiv:2003.00295, Algorithm 1).

Conversation: that of every training, `algorithms.federated.training`. What a trainer says of its labels is how they are
written; its updates and the sums are float64.

Who learns what: the arbiter learns row counts; in the clear also every update and score, under Paillier none. The
trainers learn the model of each round, and loss and accuracy over all rows; of two trainers, each can subtract its own
update and learn the other's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.api.context import Context
from algorithms.api.errors import LabelsNotBinary, WrongModel
from algorithms.federated import training
from algorithms.federated.learner import TrainingData
from algorithms.federated.parameters import LocalTraining, TrainingParameters
from algorithms.kit.admission import Classes
from algorithms.kit.feature_matrix import binary_labels, features, label_coding, places_of_labels
from algorithms.kit.metrics import Score, Scores
from algorithms.kit.named_vectors import Weights
from algorithms.models.linear import KIND, linear_model, log_loss, probability, weights_of
from storage.client import Model, Table

Floats = NDArray[np.float64]


class LinearTraining(LocalTraining):
    """How a trainer trains between two versions of the model."""

    learning_rate: float = Field(0.15, gt=0, description="Step of the gradient descent.")
    weight_decay: float = Field(
        0.0, ge=0, description="L2 penalty: weight_decay / 2 * |w|^2 is added to the mean loss; not on the bias."
    )


class HomoLRParameters(TrainingParameters):
    """Parameters of `homo_lr@1`."""

    local: LinearTraining = Field(LinearTraining(), description="How each party trains on its own rows.")


def client_update(
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


def score(x: Floats, y: Floats, common: Weights) -> Score:
    """Mean log loss, and accuracy at 0.5."""
    z = x @ common["weights"] + common["bias"]
    return Score(log_loss(z, y), float(np.mean((z > 0) == (y == 1))), len(y))


class LogisticRegression:
    """The rows of one trainer, and the linear classifier that learns from them. Labels are 0.0 and 1.0."""

    def __init__(self, _ctx: Context, parameters: HomoLRParameters, data: TrainingData, classes: Classes) -> None:
        if len(classes) > 2:
            raise LabelsNotBinary(
                f"Table {data.train.title} holds labels {label_coding(data.train).tolist()}, the trainers together "
                f"{classes.tolist()}.",
                hint="Write the labels alike everywhere: 0 and 1, or -1 and 1.",
            )
        self._local = parameters.local
        self._data = data
        self._classes = classes
        self._x, self.labels = self._read(data.train)
        self._validate = self._read(data.validate) if data.validate else None

    def initial(self) -> Weights:
        """Zeros, or the model given to start from."""
        if self._data.start is None:
            return {"weights": np.zeros(self._x.shape[1]), "bias": np.zeros(1)}
        names, weights = weights_of(self._data.start)
        if names != self._data.features:
            raise WrongModel(f"The model to start from has other columns than table {self._data.train.title}.")
        return weights

    def train(self, common: Weights, batches: Sequence[NDArray[np.int64]]) -> Weights:
        """By gradient descent."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is found and named before it is sent
            return client_update(self._x, self.labels, common, self._local, batches)

    def score(self, common: Weights) -> Scores:
        """Of the training rows, and of those kept for validation."""
        with np.errstate(over="ignore", invalid="ignore"):
            train = score(self._x, self.labels, common)
            return Scores(train, score(*self._validate, common)) if self._validate else Scores(train)

    def model(self, common: Weights) -> Model:
        """With the columns, and how labels were written."""
        return linear_model(common, self._data.features, self._classes.tolist())

    def _read(self, table: Table) -> tuple[Floats, Floats]:
        """Columns (n, d) and labels of a table. Raises LabelsNotBinary, BadFeatures."""
        labels = binary_labels(table)
        places_of_labels(table, self._classes, "The trainers write their labels otherwise.", LabelsNotBinary)
        return features(table, self._data.features), labels


COMPONENT = training.component("homo_lr", HomoLRParameters, LogisticRegression, label_coding, KIND)
