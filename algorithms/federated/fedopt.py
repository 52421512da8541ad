"""Federated optimisation in rounds, shared by every model that is trained from rows split between parties.

Source: Reddi et al. 2021, arXiv:2003.00295, Algorithm 1 (FedOpt); with server optimiser `sgd` and learning rate 1 it
is FedAvg (McMahan et al. 2017, arXiv:1602.05629, Algorithm 1), weights n_k / n.

Conversation, after that of `kit.admission`, beside that of `aggregate.aggregation` (its steps are the rounds,
and one more for the last scores):

    tag       from      to         step       what
    stop      trainer   arbiter    round      (with a tolerance) whether the loss stands still

Round t: each trainer scores the common model, trains it on its own rows, and contributes (n_k / n) * (its weights -
common weights); all apply the server's optimiser to the sum alike. Loss, accuracy and row counts stand in the same
sum's side block: every trainer reads their means, the arbiter sees no more of them than of the updates. A round costs
one round trip. Metrics of step t are those of the model after t rounds; step 0 is the model at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from algorithms.aggregate import aggregation
from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.component import ARBITER, TRAINERS, Line, Protection
from algorithms.api.context import Context
from algorithms.api.errors import CheckpointPastEnd, OneClass, ParametersDiffer
from algorithms.federated.presets import PRESETS, expanded
from algorithms.federated.server import Server, Weights
from algorithms.kit import admission
from algorithms.kit.admission import Classes, Joined, Joining
from algorithms.kit.metrics import Scores
from algorithms.kit.side_block import Word
from party.ids import Role

STOP_BYTES = 1 << 12
KIND_BITS = 12  # of a number of trainers
DIVERGED = 10.0  # times the loss at the start, or times one if that is more


class FedOptParameters(AggregationParameters):
    """What all parties of a training must have alike; what concerns a party's own training may differ."""

    SHARED: ClassVar[frozenset[str]] = AggregationParameters.SHARED | {"rounds", "tolerance", "server"}

    preset: Literal["fedavg", "fedavgm", "fedadam"] | None = Field(
        None, description="A published algorithm: what it says need not be said again."
    )
    rounds: int = Field(20, ge=1, le=1_000_000, description="Rounds of training.")
    tolerance: float = Field(0.0, ge=0, description="Stop when the loss moves less than this between rounds; 0: never.")
    server: Server = Field(Server(), description="What is done with the sum of the updates.")

    @classmethod
    def written_out(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """With what the preset says."""
        return expanded(values)

    @model_validator(mode="after")
    def _as_the_preset_says(self) -> Self:
        for group, row in PRESETS.get(self.preset or "", {}).items():
            for name, value in row.items():
                if (found := getattr(getattr(self, group), name)) != value:
                    raise ValueError(f"`{group}.{name}` is {found!r}, the preset {self.preset} says {value!r}")
        return self


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

    @property
    def labels(self) -> NDArray[Any]:
        """The place of each own row's label among all classes; asked for after `initial`."""

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
    first_loss: float = np.inf
    loss: float = np.inf

    def parts(self) -> dict[str, Any]:
        names = ("rounds", "stopped", "first_loss", "loss")
        progress = {name: getattr(self, name) for name in names}
        others = {"optimizer": self.optimizer, "rounding": self.rounding}
        return {"progress": progress, "model": self.model} | {name: part for name, part in others.items() if part}

    @staticmethod
    def from_parts(parts: Mapping[str, Any], fresh: _State) -> _State:
        """The state of a checkpoint. Raises ParametersDiffer if this training's fresh state has another form."""
        optimizer, rounding = (dict(parts.get(name, {})) for name in ("optimizer", "rounding"))
        model = dict(parts["model"])
        state = _State(model=model, optimizer=optimizer, rounding=rounding, **parts["progress"])
        if _form(state) != _form(fresh):
            raise ParametersDiffer(
                "The checkpoint is of another model or another server optimizer than this training's.",
                hint="Go on with the parameters of the earlier job; value_range, packing and keys may change.",
            )
        return state


def _form(state: _State) -> dict[str, Any]:
    return {name: array.shape for name, array in (state.model | state.optimizer).items()}


def last_round(parameters: FedOptParameters) -> int:
    """The round that leaves the last checkpoint."""
    return parameters.rounds


def conversation(parameters: FedOptParameters) -> tuple[Line, ...]:
    """The lines of the table above and of the aggregation."""
    scalar, stands_still = Protection.PLAIN_SCALAR, "Whether the mean loss over all rows stands still."
    stop = Line("stop", TRAINERS, ARBITER, ("round",), "bool", STOP_BYTES, scalar, stands_still)
    return (
        *admission.conversation(),
        *((stop,) if parameters.tolerance > 0 else ()),
        *aggregation.conversation(parameters),
    )


def train(ctx: Context, parameters: FedOptParameters, learner: Learner) -> Trained:
    """A trainer's side. Goes on from the newest checkpoint if there is one.

    Raises:
        OneClass: All trainers together have one class.
        CheckpointPastEnd: The checkpoint is of a later round than the last one.
        SumNotWhole: What the arbiter sends is not the sum.
    """
    checkpoint = _latest(ctx, parameters)
    optimizer = parameters.server
    joined = admission.join(
        ctx,
        Joining(learner.rows, learner.features, learner.classes, learner.warm_start),
        parameters.shared(),
    )
    _require_classes(joined.classes)
    start = learner.initial(joined.classes)
    fresh = _State(0, False, start, optimizer.start(start), {})
    state = _State.from_parts(checkpoint, fresh) if checkpoint else fresh
    contributor = Contributor(ctx, parameters, parameters.rounds - state.rounds, joined.common, state.rounding)
    rounds = _Rounds(ctx, learner, joined, contributor)
    with ctx.progress(parameters.rounds, "rounds") as progress:
        while state.rounds < parameters.rounds and not state.stopped:
            t = state.rounds
            total, scores = rounds.sum(t, state.model, learner.update(state.model, t))
            loss = scores.train.loss
            first = loss if t == 0 else state.first_loss
            stopped = _stands_still(ctx, parameters, t, abs(state.loss - loss))
            model, kept = optimizer.step(state.model, total, state.optimizer)
            state = _State(t + 1, stopped, model, kept, contributor.kept(), first, loss)
            ctx.memory.checkpoint(state.rounds, state.parts())
            progress(state.rounds)
        _, scores = rounds.sum(state.rounds, state.model, {})
    _warn_if_diverged(ctx, state, scores.train.loss)
    return Trained(state.model, joined.classes)


def coordinate(ctx: Context, parameters: FedOptParameters) -> None:
    """The arbiter's side. Goes on from the newest checkpoint if there is one. Raises CheckpointPastEnd."""
    checkpoint = _latest(ctx, parameters)
    admission.admit(ctx, parameters.shared())
    progress_part: Any = checkpoint["progress"] if checkpoint else {"rounds": 0, "stopped": False}
    t, stopped = progress_part["rounds"], progress_part["stopped"]
    adder = Adder(ctx, parameters)
    with ctx.progress(parameters.rounds, "rounds") as progress:
        while t < parameters.rounds and not stopped:
            adder.add(t)
            stopped = parameters.tolerance > 0 and _told_to_stop(ctx, t)
            t += 1
            ctx.memory.checkpoint(t, {"progress": {"rounds": t, "stopped": stopped}})
            progress(t)
        adder.add(t)


def _latest(ctx: Context, parameters: FedOptParameters) -> Mapping[str, Any] | None:
    """The newest checkpoint, None if there is none. Raises CheckpointPastEnd."""
    found = ctx.memory.latest()
    parts: Mapping[str, Any] | None = found[1] if found else None
    if parts and (done := parts["progress"]["rounds"]) > parameters.rounds:
        raise CheckpointPastEnd(
            f"The checkpoint to go on from is of round {done}, `rounds` is {parameters.rounds}.",
            hint=f"Set `rounds` to {done} or more, or submit the job afresh.",
        )
    return parts


@dataclass(frozen=True)
class _Rounds:
    """What is the same in all rounds of a trainer."""

    ctx: Context
    learner: Learner
    joined: Joined
    contributor: Contributor

    def sum(self, t: int, model: Weights, update: Weights) -> tuple[Weights, Scores]:
        """The sum of all updates and the scores of `model` over all rows, which are reported.

        Raises SumNotWhole, OneClass.
        """
        lowest, higher = np.any(self.learner.labels == 0), np.any(self.learner.labels > 0)
        kinds = [Word(int(lowest), KIND_BITS), Word(int(higher), KIND_BITS)]
        words = [*kinds, *self.learner.score(model).words()]
        summed = self.contributor.sum(t, update, self.learner.rows / self.joined.rows, words)
        scores = Scores.from_words(summed.words[2:])
        admission.require_rows(self.joined, scores.train.rows)
        with_lowest, with_higher = summed.words[:2]
        _require_classes(self.joined.classes[(0 if with_lowest else 1) : (None if with_higher else 1)])
        self.ctx.report(t, **scores.metrics())
        return summed.vectors, scores


def _require_classes(classes: Classes) -> None:
    """Raises OneClass unless there are two classes or more."""
    if len(classes) < 2:
        found = classes.tolist() or [1]  # who sees nothing but ones does not say so
        raise OneClass(
            f"All trainers' labels are {found}; there is nothing to tell apart.",
            hint="Is the right column named as the label? A classifier needs rows of two classes or more.",
        )


def _stands_still(ctx: Context, parameters: FedOptParameters, t: int, change: float) -> bool:
    """Whether this is the last round; the arbiter, which does not see the loss, is told."""
    if parameters.tolerance == 0:
        return False
    stop = change < parameters.tolerance
    ctx.channel.broadcast(ctx.peers(Role.ARBITER), "stop", t, stop)
    return stop


def _told_to_stop(ctx: Context, t: int) -> bool:
    """What all trainers say. Raises ParametersDiffer if they do not say the same."""
    found = ctx.channel.gather(ctx.peers(*TRAINERS), "stop", t)
    if not all(isinstance(stop, bool) for stop in found) or len(set(map(str, found))) != 1:
        raise ParametersDiffer(f"The trainers do not say alike whether round {t} is the last.")
    return bool(found[0])


def _warn_if_diverged(ctx: Context, state: _State, loss: float) -> None:
    first = min(state.first_loss, loss) if np.isinf(state.first_loss) else state.first_loss
    if loss > DIVERGED * max(first, 1.0):
        ctx.news.log(
            "warning",
            f"Training diverged: after {state.rounds} rounds the loss is {loss:.4g}, at the start it was {first:.4g}. "
            "The model is of no use. Lower the learning rate, standardise the features, or look for bad rows.",
        )
