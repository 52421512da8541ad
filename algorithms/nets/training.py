"""One trainer's network and rows: local epochs of mini-batch training, scores.

Source: McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (ClientUpdate), cross-entropy loss. The local optimiser
starts afresh each round, so that a round depends on nothing but the common model and the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from algorithms.kit.metrics import Score
from algorithms.kit.named_vectors import Weights
from algorithms.nets import networks
from algorithms.nets.optimizers import Adam, Sgd


class Rows:
    """Rows as tensors: `x` (n, d) float32, `y` class indexes."""

    def __init__(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(y)


def trained(
    net: nn.Module, start: Weights, rows: Rows, optimizer: Sgd | Adam, batches: Sequence[NDArray[np.int64]]
) -> Weights:
    """Train from these weights, a step for each mini-batch. Returns views of the network's own, which stay its own.

    The optimiser is a fresh one over the network's weights.
    """
    networks.load(net, start)
    net.train()
    loss_of = nn.CrossEntropyLoss()
    for batch in map(torch.from_numpy, batches):
        loss_of(net(rows.x[batch]), rows.y[batch]).backward()
        optimizer.step()
    return {name: tensor.numpy() for name, tensor in networks.shared(net).items()}


def score(net: nn.Module, common: Weights, rows: Rows) -> Score:
    """Mean cross-entropy and accuracy of the common weights."""
    networks.load(net, common)
    found = networks.log_probabilities(net, rows.x)
    loss = nn.functional.nll_loss(found, rows.y)
    return Score(loss.item(), (found.argmax(dim=1) == rows.y).double().mean().item(), len(rows.y))
