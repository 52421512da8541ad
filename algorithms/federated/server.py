"""What every trainer does with the aggregated update: one deterministic step of the server's optimiser.

Source: Reddi et al. 2021, "Adaptive Federated Optimization", arXiv:2003.00295, Algorithm 2 (FedAdam; v starts at
tau^2 and there is no bias correction, as there); "momentum" is FedAvgM of Hsu et al. 2019. The update plays the part
of the negative gradient. Element-wise arithmetic in the model's own precision, so every party reaches the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from algorithms.api.parameters import Group
from algorithms.kit.named_vectors import Weights

BETA_2, TAU = 0.99, 1e-3


class Server(Group):
    """The optimiser applied to the sum of the updates; its state is passed in and out.

    `sgd` adds the update, `momentum` a decaying sum of updates, `adam` scales each coordinate. The learning rate is eta
    of the paper, the momentum beta_1.
    """

    optimizer: Literal["sgd", "momentum", "adam"] = Field("sgd", description="What is done with the sum of updates.")
    learning_rate: float | None = Field(None, gt=0, description="Its step; left out: 0.1 for `adam`, else 1.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Its momentum (beta_1), for `momentum` and `adam`.")

    def idle(self) -> Mapping[str, str]:
        """Only `sgd` has no momentum."""
        return {"momentum": '`"optimizer": "sgd"`'} if self.optimizer == "sgd" else {}

    @property
    def rate(self) -> float:
        """The step: adam's is about the rate itself, whatever the update's size."""
        return self.learning_rate or (0.1 if self.optimizer == "adam" else 1.0)

    def start(self, model: Weights) -> Weights:
        """The state before the first step: m is zero, v is tau^2; empty for `sgd`."""
        moments = {"sgd": {}, "momentum": {"m": 0.0}, "adam": {"m": 0.0, "v": TAU**2}}[self.optimizer]
        return {f"{m}.{name}": np.full_like(array, at) for m, at in moments.items() for name, array in model.items()}

    def step(self, model: Weights, update: Weights, state: Weights) -> tuple[Weights, Weights]:
        """The next model and state."""
        moved, kept = {}, {}
        for name, array in model.items():
            direction = update[name]
            if self.optimizer == "momentum":
                direction = kept[f"m.{name}"] = self.momentum * state[f"m.{name}"] + direction
            elif self.optimizer == "adam":
                m = kept[f"m.{name}"] = self.momentum * state[f"m.{name}"] + (1 - self.momentum) * direction
                v = kept[f"v.{name}"] = BETA_2 * state[f"v.{name}"] + (1 - BETA_2) * direction * direction
                direction = m / (np.sqrt(v) + TAU)
            moved[name] = array + self.rate * direction
        return moved, kept
