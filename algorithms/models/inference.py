"""What a kept model says about the rows of a table: one probability for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.kit.feature_matrix import features, require_kind
from algorithms.models import linear
from storage.client import Model, Table

CLASSIFIERS = ("linear", "torch")


@dataclass(frozen=True)
class Prediction:
    """Probabilities `(n, classes)` and the class labels that the columns stand for, ascending."""

    probabilities: NDArray[np.float64]
    classes: NDArray[np.int64]

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest class of each row."""
        labels: NDArray[np.int64] = self.classes[np.argmax(self.probabilities, axis=1)]
        return labels


def predict(model: Model, table: Table) -> Prediction:
    """The model's probabilities for each row. Raises WrongModel, BadFeatures."""
    require_kind(model, *CLASSIFIERS)
    names: list[str] = model.details["features"]
    classes: NDArray[Any] = np.asarray(model.details["classes"], dtype=np.int64)
    if model.kind == linear.KIND:
        _, weights = linear.weights_of(model)
        positive = linear.probability(features(table, names), weights["weights"], weights["bias"])
        return Prediction(np.column_stack([1.0 - positive, positive]), classes)
    from algorithms.nets.networks import probabilities  # torch is imported only where it is used

    return Prediction(probabilities(model, features(table, names, np.float32)), classes)
