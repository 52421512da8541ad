"""What every trainer does with the aggregated update: one deterministic step of the server's optimiser.

Source: Reddi et al. 2021, "Adaptive Federated Optimization", arXiv:2003.00295, Algorithm 2 (FedAdam; v starts at
tau^2 and there is no bias correction, as there); "momentum" is FedAvgM of Hsu et al. 2019. The update plays the part
of the negative gradient. Element-wise arithmetic in the model's own precision, so every party reaches the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]  # float64, or float32 for a network
Kind = Literal["sgd", "momentum", "adam"]


def default_rate(kind: Kind) -> float:
    """The learning rate where the job names none. adam's step is about the rate itself, whatever the update's size."""
    return 0.1 if kind == "adam" else 1.0


@dataclass(frozen=True)
class ServerOptimizer:
    """Settings of the step; the state is passed in and out.

    Attributes:
        kind: `sgd` adds the update, `momentum` a decaying sum of updates, `adam` scales each coordinate.
        learning_rate: eta of the paper; `default_rate` gives the usual one.
        momentum: beta_1. beta_2 and tau: the paper's.
    """

    kind: Kind = "sgd"
    learning_rate: float = 1.0
    momentum: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3

    def start(self, model: Weights) -> Weights:
        """The state before the first step: m is zero, v is tau^2; empty for `sgd`."""
        moments = {"sgd": {}, "momentum": {"m": 0.0}, "adam": {"m": 0.0, "v": self.tau**2}}[self.kind]
        return {f"{m}.{name}": np.full_like(array, at) for m, at in moments.items() for name, array in model.items()}

    def step(self, model: Weights, update: Weights, state: Weights) -> tuple[Weights, Weights]:
        """The next model and state."""
        moved, kept = {}, {}
        for name, array in model.items():
            direction = update[name]
            if self.kind == "momentum":
                direction = kept[f"m.{name}"] = self.momentum * state[f"m.{name}"] + direction
            elif self.kind == "adam":
                m = kept[f"m.{name}"] = self.momentum * state[f"m.{name}"] + (1 - self.momentum) * direction
                v = kept[f"v.{name}"] = self.beta_2 * state[f"v.{name}"] + (1 - self.beta_2) * direction * direction
                direction = m / (np.sqrt(v) + self.tau)
            moved[name] = array + self.learning_rate * direction
        return moved, kept
