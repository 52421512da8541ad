"""What a kept model says about the rows of a table: one probability for each class.

The table says how each kind of model scores rows; a later kind is a file and a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.kit.feature_matrix import require_kind
from algorithms.models import linear, network
from storage.client import Model, Table

KINDS: Mapping[str, Callable[[Model, Table], NDArray[np.float64]]] = {
    linear.KIND: linear.probabilities,
    network.KIND: network.probabilities,
}
CLASSIFIERS = tuple(KINDS)


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
    score = KINDS[require_kind(model, *CLASSIFIERS).kind]
    return Prediction(score(model, table), np.asarray(model.details["classes"], dtype=np.int64))
