"""A trainer's side of a federated training in rounds, whatever the model; the arbiter's is `arbiter.py`.

Source: Reddi et al. 2021, arXiv:2003.00295, Algorithm 1 (FedOpt); with server optimiser `sgd` and learning rate 1 it
is FedAvg (McMahan et al. 2017, arXiv:1602.05629, Algorithm 1), weights n_k / n.

What is said stands in `training.py`. Round t: each trainer scores the common model, trains it on its own rows, and
contributes (n_k / n) * (its weights - common weights); all apply the server's optimiser to the sum alike. Loss,
accuracy and row counts stand in the same sum's side block: every trainer reads their means, the arbiter sees no more of
them than of the updates. A round costs
one round trip. Metrics of step t are those of the model after t rounds; step 0 is the model at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from algorithms.aggregate.contributor import Contributor
from algorithms.api.context import Context
from algorithms.api.errors import OneClass
from algorithms.federated.checkpoint import State, newest
from algorithms.federated.learner import Learner
from algorithms.federated.parameters import TrainingParameters
from algorithms.kit import admission
from algorithms.kit.admission import Classes, Joined, Joining
from algorithms.kit.metrics import Scores
from algorithms.kit.named_vectors import Vectors, Weights
from algorithms.kit.side_block import Word
from party.ids import Role
from storage.client import Model

KIND_BITS = 12  # of a number of trainers
DIVERGED = 10.0  # times the loss at the start, or times one if that is more


def train(
    ctx: Context, parameters: TrainingParameters, joining: Joining, learner_for: Callable[[Classes], Learner]
) -> Model:
    """The common model after the last round. Goes on from the newest checkpoint if there is one.

    Raises:
        OneClass: All trainers together have one class.
        CheckpointPastEnd: The checkpoint is of a later round than the last one.
        SumNotWhole: What the arbiter sends is not the sum.
    """
    checkpoint = newest(ctx, parameters.rounds)
    server = parameters.server
    joined = admission.join(ctx, joining, parameters.shared())
    _require_classes(joined.classes)
    learner = learner_for(joined.classes)
    start = learner.initial()
    fresh = State(0, False, start, server.start(start), {})
    state = State.from_parts(checkpoint, fresh) if checkpoint else fresh
    contributor = Contributor(ctx, parameters, parameters.rounds - state.rounds, joined.common, state.sums)
    rounds = _Rounds(ctx, learner, joined, contributor)
    with ctx.progress(parameters.rounds, "rounds", state.rounds) as progress:
        while state.rounds < parameters.rounds and not state.stopped:
            t = state.rounds
            batches = ctx.mini_batches(joining.rows, parameters.local.batch_size, parameters.local.epochs, t)
            update = _change(learner.train(state.model, batches), state.model)
            total, scores = rounds.sum(t, state.model, update)
            loss = scores.train.loss
            first = loss if t == 0 else state.first_loss
            stopped = _stands_still(ctx, parameters, t, abs(state.loss - loss))
            model, optimizer = server.step(state.model, total, state.optimizer)
            state = State(t + 1, stopped, model, optimizer, contributor.kept(), first, loss)
            ctx.memory.checkpoint(state.rounds, state.parts())
            progress(state.rounds)
        _, scores = rounds.sum(state.rounds, state.model, {})
    _warn_if_diverged(ctx, state, scores.train.loss)
    return learner.model(state.model)


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
        summed = self.contributor.sum(t, update, len(self.learner.labels) / self.joined.rows, words)
        scores = Scores.from_words(summed.words[2:])
        admission.require_rows(self.joined, scores.train.rows)
        with_lowest, with_higher = summed.words[:2]
        _require_classes(self.joined.classes[(0 if with_lowest else 1) : (None if with_higher else 1)])
        self.ctx.report(t, **scores.metrics())
        return summed.vectors, scores


def _change(trained: Vectors, common: Weights) -> Weights:
    """What training did to the common weights."""
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is found and named before it is sent
        return {name: array - common[name] for name, array in trained.items()}


def _require_classes(classes: Classes) -> None:
    """Raises OneClass unless there are two classes or more."""
    if len(classes) < 2:
        found = classes.tolist() or [1]  # who sees nothing but ones does not say so
        raise OneClass(
            f"All trainers' labels are {found}; there is nothing to tell apart.",
            hint="Is the right column named as the label? A classifier needs rows of two classes or more.",
        )


def _stands_still(ctx: Context, parameters: TrainingParameters, t: int, change: float) -> bool:
    """Whether this is the last round; the arbiter, which does not see the loss, is told."""
    if parameters.tolerance == 0:
        return False
    stop = change < parameters.tolerance
    ctx.channel.broadcast(ctx.peers(Role.ARBITER), "stop", t, stop)
    return stop


def _warn_if_diverged(ctx: Context, state: State, loss: float) -> None:
    first = min(state.first_loss, loss) if np.isinf(state.first_loss) else state.first_loss
    if loss > DIVERGED * max(first, 1.0):
        ctx.events.log(
            "warning",
            f"Training diverged: after {state.rounds} rounds the loss is {loss:.4g}, at the start it was {first:.4g}. "
            "The model is of no use. Lower the learning rate, standardise the features, or look for bad rows.",
        )
