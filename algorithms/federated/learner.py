"""What a kind of model is to a training: what it learns from, how it starts, trains and is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.kit.feature_matrix import feature_names
from algorithms.kit.metrics import Scores
from algorithms.kit.named_vectors import Vectors, Weights
from storage.client import Model, Table


@dataclass(frozen=True)
class TrainingData:
    """What one trainer learns from.

    Attributes:
        train: The rows to learn from.
        validate: Rows to compare on; without any it is None.
        start: The model to start from, if there is one.
    """

    train: Table
    validate: Table | None
    start: Model | None

    @property
    def features(self) -> tuple[str, ...]:
        """The columns to learn from, in order. Raises BadFeatures if there is none."""
        return feature_names(self.train)


class Learner(Protocol):
    """One trainer's model and rows, once the classes of all trainers are known."""

    @property
    def labels(self) -> NDArray[Any]:
        """The place of each own row's label among all classes."""

    def initial(self) -> Weights:
        """The weights to start from, the same at every trainer. Raises WrongModel."""

    def train(self, common: Weights, batches: Sequence[NDArray[np.int64]]) -> Vectors:
        """The weights after a step on each mini-batch of own rows, given by their positions.

        The common weights stay as they are; what is returned may be views that the next training overwrites.
        """

    def score(self, common: Weights) -> Scores:
        """How good the common weights are on the own rows."""

    def model(self, common: Weights) -> Model:
        """The common weights as a model to keep."""
