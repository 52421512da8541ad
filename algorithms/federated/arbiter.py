"""The arbiter's side of a federated training: admit, add up round after round, stop when the trainers say so."""

from __future__ import annotations

from typing import Any

from algorithms.aggregate.adder import Adder
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS
from algorithms.api.errors import ParametersDiffer
from algorithms.federated.checkpoint import newest
from algorithms.federated.parameters import TrainingParameters
from algorithms.kit import admission


def coordinate(ctx: Context, parameters: TrainingParameters) -> None:
    """Goes on from the newest checkpoint if there is one. Raises CheckpointPastEnd."""
    checkpoint = newest(ctx, parameters.rounds)
    admission.admit(ctx, parameters.shared())
    progress_part: Any = checkpoint["progress"] if checkpoint else {"rounds": 0, "stopped": False}
    t, stopped = progress_part["rounds"], progress_part["stopped"]
    adder = Adder(ctx, parameters)
    with ctx.progress(parameters.rounds, "rounds", t) as progress:
        while t < parameters.rounds and not stopped:
            adder.add(t)
            stopped = parameters.tolerance > 0 and _told_to_stop(ctx, t)
            t += 1
            ctx.memory.checkpoint(t, {"progress": {"rounds": t, "stopped": stopped}})
            progress(t)
        adder.add(t)


def _told_to_stop(ctx: Context, t: int) -> bool:
    """What all trainers say. Raises ParametersDiffer if they do not say the same."""
    found = ctx.channel.gather(ctx.peers(*TRAINERS), "stop", t)
    if not all(isinstance(stop, bool) for stop in found) or len(set(map(str, found))) != 1:
        raise ParametersDiffer(f"The trainers do not say alike whether round {t} is the last.")
    return bool(found[0])
