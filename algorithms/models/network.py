"""The neural network as a kept model: what it is kept as, and what it says about rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import WrongModel
from algorithms.kit.feature_matrix import features, require_kind
from algorithms.kit.named_vectors import Weights
from algorithms.nets.spec import NetSpec
from storage.client import Model, Table

KIND = "torch"


def network_model(weights: Weights, spec: NetSpec, names: Sequence[str], classes: Sequence[int]) -> Model:
    """The trained network as a model to keep, with its columns and how its labels were written."""
    return Model(kind=KIND, schema=1, arrays=weights, details=_details(spec, names, classes))


def require_same(model: Model, spec: NetSpec, names: Sequence[str], classes: Sequence[int]) -> None:
    """Raises WrongModel unless a kept model is of that network, those columns and classes."""
    require_kind(model, KIND)
    if model.details != (own := _details(spec, names, classes)):
        raise WrongModel(f"The model to start from has another network, columns or classes than {own['spec']}.")


def probabilities(model: Model, table: Table) -> NDArray[np.float64]:
    """Class probabilities `(n, classes)` of each row. Raises WrongModel, BadFeatures."""
    import torch  # only where it is used

    from algorithms.nets import networks

    net = networks.build(NetSpec.model_validate(model.details["spec"]))
    networks.load(net, model.arrays)
    x = features(table, model.details["features"], np.float32)
    found: NDArray[np.float64] = networks.log_probabilities(net, torch.from_numpy(x)).exp().numpy()
    return found


def _details(spec: NetSpec, names: Sequence[str], classes: Sequence[int]) -> dict[str, Any]:
    return {"spec": spec.details(), "features": list(names), "classes": list(classes)}
