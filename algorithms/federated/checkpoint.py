"""What a training keeps between two rounds, and goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.api.context import Context
from algorithms.api.errors import CheckpointPastEnd, ParametersDiffer
from algorithms.kit.named_vectors import Weights


@dataclass(frozen=True)
class State:
    """A trainer's state between two rounds; what a checkpoint holds.

    Attributes:
        rounds: How many rounds were made.
        stopped: Whether the last one was.
        model, optimizer: The common weights, and the state of the server's optimiser.
        sums: What the contributor kept.
        first_loss, loss: At the start, and before the last round.
    """

    rounds: int
    stopped: bool
    model: Weights
    optimizer: Weights
    sums: Mapping[str, Any]
    first_loss: float = np.inf
    loss: float = np.inf

    def parts(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        names = ("rounds", "stopped", "first_loss", "loss")
        progress = {name: getattr(self, name) for name in names}
        others = {"optimizer": self.optimizer, "sums": self.sums}
        return {"progress": progress, "model": self.model} | {name: part for name, part in others.items() if part}

    @staticmethod
    def from_parts(parts: Mapping[str, Any], fresh: State) -> State:
        """The state of a checkpoint. Raises ParametersDiffer if this training's fresh state has another form."""
        optimizer, sums = (dict(parts.get(name, {})) for name in ("optimizer", "sums"))
        state = State(model=dict(parts["model"]), optimizer=optimizer, sums=sums, **parts["progress"])
        if _form(state) != _form(fresh):
            raise ParametersDiffer(
                "The checkpoint is of another model or another server optimizer than this training's.",
                hint="Go on with the parameters of the earlier job; `encoding.value_range`, `encoding.packing` and "
                "keys may change.",
            )
        return state


def newest(ctx: Context, rounds: int) -> Mapping[str, Any] | None:
    """The parts of the newest checkpoint, None if there is none. Raises CheckpointPastEnd if it is of a later round."""
    found = ctx.memory.latest()
    parts: Mapping[str, Any] | None = found[1] if found else None
    if parts and (done := parts["progress"]["rounds"]) > rounds:
        raise CheckpointPastEnd(
            f"The checkpoint to go on from is of round {done}, `rounds` is {rounds}.",
            hint=f"Set `rounds` to {done} or more, or submit the job afresh.",
        )
    return parts


def _form(state: State) -> dict[str, Any]:
    return {name: array.shape for name, array in (state.model | state.optimizer).items()}
