"""The linear binary classifier: its probability, its loss, and the model it is kept as."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import WrongModel
from algorithms.kit.feature_matrix import features, require_kind
from algorithms.kit.named_vectors import Weights
from storage.client import Model, Table

Floats = NDArray[np.float64]
KIND = "linear"


def probability(x: Floats, weights: Floats, bias: Floats) -> Floats:
    """P(y = 1) of each row of `x` (n, d): the logistic function, written so that it cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * (x @ weights + bias)))


def log_loss(z: Floats, y: Floats) -> float:
    """The mean of log(1 + e^z) - yz over rows with logit `z` and label `y` in {0, 1}."""
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def linear_model(weights: Weights, names: Sequence[str], classes: Sequence[int] = (0, 1)) -> Model:
    """The trained classifier as a model to keep; `classes` is how its labels were written."""
    details = {"features": list(names), "classes": list(classes)}
    return Model(kind=KIND, schema=1, arrays=dict(weights), details=details)


def weights_of(model: Model) -> tuple[tuple[str, ...], Weights]:
    """The feature names and the weights of a kept model. Raises WrongModel."""
    require_kind(model, KIND)
    names = tuple(model.details.get("features", ()))
    arrays = {name: np.asarray(model.arrays[name], dtype=np.float64) for name in model.arrays}
    if arrays.keys() != {"weights", "bias"} or arrays["weights"].shape != (len(names),) or arrays["bias"].shape != (1,):
        raise WrongModel("A linear model needs one weight for each of its features, and a bias.")
    return names, arrays


def probabilities(model: Model, table: Table) -> Floats:
    """P(y = 0) and P(y = 1) of each row. Raises WrongModel, BadFeatures."""
    names, weights = weights_of(model)
    positive = probability(features(table, names), weights["weights"], weights["bias"])
    return np.column_stack([1.0 - positive, positive])
