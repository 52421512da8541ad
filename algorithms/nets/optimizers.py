"""The two local optimisers, each a step over a list of weights.

Sources: Sutskever et al. 2013 (momentum, in the form torch uses); Kingma, Ba 2015, arXiv:1412.6980, Algorithm 1.
Not `torch.optim`: making one of its optimisers imports torch's compiler, seven CPU seconds in every fresh process,
which is more than most rounds of training take. A test holds these two against those.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Sgd:
    """Gradient descent with momentum and weight decay."""

    def __init__(self, weights: Iterable[torch.Tensor], rate: float, momentum: float, weight_decay: float) -> None:
        self._weights = list(weights)
        self._rate, self._momentum, self._decay = rate, momentum, weight_decay
        self._velocity = [torch.zeros_like(w) for w in self._weights]

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights against their gradients, then forget the gradients."""
        for weight, velocity in zip(self._weights, self._velocity, strict=True):
            velocity.mul_(self._momentum).add_(_gradient(weight, self._decay))
            weight.sub_(velocity, alpha=self._rate)
            weight.grad = None


class Adam:
    """Adam with bias correction; the weight decay is added to the gradient."""

    def __init__(self, weights: Iterable[torch.Tensor], rate: float, weight_decay: float) -> None:
        self._weights = list(weights)
        self._rate, self._decay = rate, weight_decay
        self._first = [torch.zeros_like(w) for w in self._weights]
        self._second = [torch.zeros_like(w) for w in self._weights]
        self._steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights, then forget the gradients."""
        self._steps += 1
        first_bias, second_bias = 1 - BETA_1**self._steps, 1 - BETA_2**self._steps
        for weight, first, second in zip(self._weights, self._first, self._second, strict=True):
            gradient = _gradient(weight, self._decay)
            first.mul_(BETA_1).add_(gradient, alpha=1 - BETA_1)
            second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            scale = (second / second_bias).sqrt_().add_(EPSILON)
            weight.addcdiv_(first, scale, value=-self._rate / first_bias)
            weight.grad = None


def _gradient(weight: torch.Tensor, decay: float) -> torch.Tensor:
    gradient = weight.grad if weight.grad is not None else torch.zeros_like(weight)
    return gradient.add(weight, alpha=decay) if decay else gradient
