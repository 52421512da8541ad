"""The networks by name, their weights as named arrays, and what they say about rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from algorithms.api.errors import WrongModel
from algorithms.nets.spec import NetSpec

Arrays = Mapping[str, NDArray[Any]]
BATCH_ROWS = 4096


def _mlp(spec: NetSpec) -> nn.Module:
    """Linear layers with ReLU between them."""
    return nn.Sequential(*_linear_layers((spec.inputs, *spec.hidden, spec.outputs)))


def _cnn(spec: NetSpec) -> nn.Module:
    """Twice a 3x3 convolution, ReLU and pooling by two; then linear layers."""
    depth, height, width = cast(tuple[int, int, int], spec.input_shape)  # a cnn has one
    first, second = spec.channels
    flat = second * (height // 4) * (width // 4)
    return nn.Sequential(
        nn.Unflatten(1, (depth, height, width)),
        nn.Conv2d(depth, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), *_linear_layers((flat, *spec.hidden, spec.outputs)),
    )  # fmt: skip


NETS: dict[str, Callable[[NetSpec], nn.Module]] = {"mlp": _mlp, "cnn": _cnn}


def use_threads(cores: int) -> None:
    """Compute with that many threads, so that the order of additions depends on nothing else."""
    torch.set_num_threads(cores)


def build(spec: NetSpec) -> nn.Module:
    """An untrained network. Raises WrongModel."""
    spec.require_consistent()
    return NETS[spec.name](spec)


def start(net: nn.Module, seed: int) -> dict[str, NDArray[np.float32]]:
    """The weights everybody starts from: He's uniform initialisation from our own seed; norm layers change nothing.

    Source: He et al. 2015, arXiv:1502.01852, equation 10. torch's global generator plays no part.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_uniform_(parameter, nonlinearity="relu", generator=generator)
            else:  # a bias, or the scale of a norm layer
                parameter.fill_(1.0 if name.rpartition(".")[2] == "weight" else 0.0)
    return arrays_of(net)


def arrays_of(net: nn.Module) -> dict[str, NDArray[np.float32]]:
    """A copy of the network's weights, and of what norm layers have seen, by name."""
    return {name: tensor.detach().numpy().copy() for name, tensor in shared(net).items()}


def shared(net: nn.Module) -> dict[str, torch.Tensor]:
    """What is averaged: all but whole numbers, such as a norm layer's count of its own batches."""
    return {name: tensor for name, tensor in net.state_dict().items() if tensor.is_floating_point()}


def load(net: nn.Module, arrays: Arrays) -> None:
    """Put weights into a network. Raises WrongModel unless names and shapes are its own."""
    own = shared(net)
    if {name: tuple(t.shape) for name, t in own.items()} != {name: a.shape for name, a in arrays.items()}:
        raise WrongModel("The model's arrays are not those of its network.", hint="Was it made by another version?")
    for name, tensor in own.items():
        np.copyto(tensor.numpy(), arrays[name], casting="same_kind")


@torch.no_grad()
def log_probabilities(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The network's log-probabilities for rows, in batches; float64, so that they add up to one."""
    net.eval()
    return torch.cat([torch.log_softmax(net(batch).double(), dim=1) for batch in x.split(BATCH_ROWS)])


def _linear_layers(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return layers[:-1]
