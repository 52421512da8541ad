"""Federated optimisation in rounds, shared by every model that is trained from rows split between parties.

Source: Reddi et al. 2021, arXiv:2003.00295, Algorithm 1 (FedOpt); with server optimiser `sgd` and learning rate 1 it
is FedAvg (McMahan et al. 2017, arXiv:1602.05629, Algorithm 1), weights n_k / n.

Conversation, after that of `algorithms.joining`, beside that of `algorithms.aggregation` (its steps are the rounds):

    tag       from      to         what
    score     trainer   arbiter    loss and accuracy of the model after `round` rounds on the trainer's rows
    verdict   arbiter   trainers   their means over all rows, and whether to stop

Round t: each trainer scores the common model, trains it on its own rows, and contributes (n_k / n) * (its weights -
common weights); all apply the server's optimiser to the sum alike. The score travels with the update, so a round
costs one round trip. Metrics of step t are those of the model after t rounds; step 0 is the model at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import Field

from algorithms import aggregation, joining, scores
from algorithms.aggregation import Adder, AggregationParameters, Contributor
from algorithms.component import ARBITER, TRAINERS, Line, Protection
from algorithms.context import Context
from algorithms.errors import ParametersDiffer
from algorithms.joining import Classes, Joining
from algorithms.scores import Scores
from algorithms.server_optimizer import ServerOptimizer, Weights
from party.ids import Address, Role

SCORE_BYTES = 1 << 14


class FedOptParameters(AggregationParameters):
    """What all parties of a training must have alike."""

    rounds: int = Field(20, ge=1, le=1_000_000, description="Rounds of training.")
    tolerance: float = Field(0.0, ge=0, description="Stop when the loss moves less than this between rounds; 0: never.")

    def server(self) -> ServerOptimizer:
        """The optimiser applied to the sum of the updates."""
        return ServerOptimizer()

    def alike(self) -> dict[str, object]:
        """How often and how sums are made and used; what concerns a party's own training may differ."""
        return self.model_dump(include=set(FedOptParameters.model_fields))


class Learner(Protocol):
    """One trainer's model and rows."""

    @property
    def rows(self) -> int:
        """How many training rows there are."""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns, in order."""

    @property
    def classes(self) -> Classes:
        """The set of class labels seen here, or of those that say how labels are written; never one a row."""

    @property
    def warm_start(self) -> str:
        """Digest of the model training starts from, empty for a fresh one."""

    def initial(self, classes: Classes, /) -> Weights:
        """The weights to start from, the same at every trainer."""

    def update(self, common: Weights, round_number: int) -> Weights:
        """Weights after training on the own rows, minus `common`."""

    def score(self, common: Weights) -> Scores:
        """How good the common model is on the own rows."""


@dataclass(frozen=True)
class Trained:
    """The result of a training: the weights, and all classes."""

    weights: Weights
    classes: Classes


@dataclass(frozen=True)
class _State:
    """A trainer's state between two rounds; what a checkpoint holds."""

    rounds: int
    stopped: bool
    model: Weights
    optimizer: Weights
    rounding: Mapping[str, Any]

    def parts(self) -> dict[str, Any]:
        progress = {"rounds": self.rounds, "stopped": self.stopped}
        others = {"optimizer": self.optimizer, "rounding": self.rounding}
        return {"progress": progress, "model": self.model} | {name: part for name, part in others.items() if part}

    @staticmethod
    def from_parts(parts: Mapping[str, Any], fresh: _State) -> _State:
        """The state of a checkpoint. Raises ParametersDiffer if this training's fresh state has another form."""
        progress = parts["progress"]
        optimizer, rounding = (dict(parts.get(name, {})) for name in ("optimizer", "rounding"))
        state = _State(progress["rounds"], progress["stopped"], dict(parts["model"]), optimizer, rounding)
        if _form(state) != _form(fresh):
            raise ParametersDiffer(
                "The checkpoint is of another model or another server optimizer than this training's.",
                hint="Go on with the parameters of the earlier job; value_range, packing and keys may change.",
            )
        return state


def _form(state: _State) -> dict[str, Any]:
    return {name: array.shape for name, array in (state.model | state.optimizer).items()}


def conversation(parameters: FedOptParameters) -> tuple[Line, ...]:
    """The lines of the table above and of the aggregation."""
    scalar = Protection.PLAIN_SCALAR
    score, verdict = "Loss and accuracy on the sender's rows.", "Loss and accuracy over all parties' rows."
    return (
        *joining.conversation(),
        Line("score", TRAINERS, ARBITER, "(round,)", "record", SCORE_BYTES, scalar, score),
        Line("verdict", ARBITER, TRAINERS, "(round,)", "record", SCORE_BYTES, scalar, verdict),
        *aggregation.conversation(parameters),
    )


def train(ctx: Context, parameters: FedOptParameters, learner: Learner) -> Trained:
    """A trainer's side. Goes on from the newest checkpoint if there is one."""
    optimizer, arbiter = parameters.server(), ctx.peers(Role.ARBITER)[0]
    joined = Joining(learner.rows, learner.features, learner.classes, learner.warm_start)
    all_rows, classes = joining.join(ctx, joined, parameters.alike())
    start = learner.initial(classes)
    checkpoint = ctx.memory.latest()
    fresh = _State(0, False, start, optimizer.start(start), {})
    state = _State.from_parts(checkpoint[1], fresh) if checkpoint else fresh
    contributor = Contributor(ctx, parameters, parameters.rounds - state.rounds, state.rounding)
    share = learner.rows / all_rows
    with closing(contributor), ctx.progress(parameters.rounds, "rounds") as progress:
        while state.rounds < parameters.rounds and not state.stopped:
            t = state.rounds
            ctx.channel.send(arbiter, "score", t, learner.score(state.model).record())
            update = learner.update(state.model, t)
            total = contributor.sum(t, update, share)
            stopped = _verdict(ctx, arbiter, t)
            model, kept = optimizer.step(state.model, total, state.optimizer)
            state = _State(t + 1, stopped, model, kept, contributor.kept())
            ctx.memory.checkpoint(state.rounds, state.parts())
            progress(state.rounds)
    ctx.channel.send(arbiter, "score", state.rounds, learner.score(state.model).record())
    _verdict(ctx, arbiter, state.rounds)
    return Trained(state.model, classes)


def coordinate(ctx: Context, parameters: FedOptParameters) -> None:
    """The arbiter's side. Goes on from the newest checkpoint if there is one."""
    trainers = ctx.peers(*TRAINERS)
    joining.admit(ctx, parameters.alike())
    checkpoint = ctx.memory.latest()
    progress_part: Any = checkpoint[1]["progress"] if checkpoint else {"rounds": 0, "stopped": False, "loss": np.inf}
    t, stopped, loss = progress_part["rounds"], progress_part["stopped"], progress_part["loss"]
    adder = Adder(ctx, parameters)
    with closing(adder), ctx.progress(parameters.rounds, "rounds") as progress:
        while t < parameters.rounds and not stopped:
            loss, stopped = _judge(ctx, parameters, trainers, t, loss)
            adder.add(t)
            t += 1
            ctx.memory.checkpoint(t, {"progress": {"rounds": t, "stopped": stopped, "loss": loss}})
            progress(t)
    _judge(ctx, parameters, trainers, t, loss)


def _judge(
    ctx: Context, parameters: FedOptParameters, trainers: tuple[Address, ...], t: int, last_loss: float
) -> tuple[float, bool]:
    """Collect the scores of round `t`, report their means, tell the trainers. Returns the loss, and whether to stop."""
    found = scores.mean(Scores.from_record(score) for score in ctx.channel.gather(trainers, "score", t))
    loss = found.train.loss
    stop = parameters.tolerance > 0 and abs(last_loss - loss) < parameters.tolerance
    ctx.channel.broadcast(trainers, "verdict", t, {**found.record(), "stop": stop})
    ctx.report(t, **found.metrics())
    return loss, stop


def _verdict(ctx: Context, arbiter: Address, t: int) -> bool:
    """Report the federation's scores of round `t`; whether this is the last one."""
    verdict: Any = ctx.channel.recv(arbiter, "verdict", t)
    ctx.report(t, **Scores.from_record(verdict).metrics())
    if not isinstance(verdict.get("stop"), bool):
        raise ParametersDiffer(f"{arbiter} does not say whether round {t} is the last.")
    return bool(verdict["stop"])
