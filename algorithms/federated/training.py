"""A classifier that is trained in rounds over rows split between parties, as a component: all but the model itself.

Conversation; trainers are guests and hosts, `round` counts from 0. The lines of `algorithms.kit.admission` and of the
sums (`algorithms.aggregate.aggregation`), whose steps are the rounds, and one more for the last scores; beside them:

    tag     from      to         step     what
    stop    trainer   arbiter    round    (with a tolerance) whether the loss stands still
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from algorithms.aggregate import aggregation
from algorithms.api.component import SAFE_TRAINERS, Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.ports import LABELLED, Port, PortKind
from algorithms.federated.arbiter import coordinate
from algorithms.federated.learner import Learner, TrainingData
from algorithms.federated.parameters import TrainingParameters
from algorithms.federated.trainer import train
from algorithms.kit import admission, disclosure
from algorithms.kit.admission import Classes, Joining
from storage.client import Kind, Table

STOP_BYTES = 1 << 12
MakeLearner = Callable[[Context, Any, TrainingData, Classes], Learner]


def component(
    name: str,
    parameters: type[TrainingParameters],
    learner: MakeLearner,
    classes: Callable[[Table], Classes],
    kind: str,
    *,
    needs_torch: bool = False,
) -> Component:
    """The component whose trainers run a learner and whose arbiter adds up.

    Args:
        name: Of the component; its version is 1.
        parameters: Those of every training, the learner's beside them under `local`.
        learner: Makes it from the trainer's context, parameters and data and all trainers' classes.
        classes: What a trainer tells of the labels in its table: the set that occurs, or that says how they are
            written; never one a row.
        kind: Of its model, as it is kept.
        needs_torch: Whether the learner imports torch.
    """

    def trainer(ctx: Context, given: TrainingParameters) -> None:
        """A guest or host: learn from the own rows, keep the common model."""
        validate = ctx.inputs.table("validate")
        data = TrainingData(
            train=ctx.required_table("train"),
            validate=validate if validate and validate.rows else None,
            start=ctx.inputs.model("model"),
        )
        warm_start = data.start.digest() if data.start else ""
        joining = Joining(data.train.rows, data.features, classes(data.train), warm_start)
        model = train(ctx, given, joining, lambda agreed: learner(ctx, given, data, agreed))
        ctx.outputs.save_model("model", model)

    return Component(
        name=name,
        version=1,
        parameters=parameters,
        inputs={
            "train": Port(PortKind.TABLE, TRAINERS, columns=LABELLED),
            "validate": Port(PortKind.TABLE, TRAINERS, optional=True, columns=LABELLED),
            "model": Port(PortKind.MODEL, TRAINERS, optional=True, models=(kind,)),
        },
        outputs={"model": Port(PortKind.MODEL, TRAINERS, models=(kind,))},
        roles=aggregation.roles(
            RoleSpec(trainer, learns=disclosure.TRAINER_OF_MODEL),
            RoleSpec(coordinate, learns=disclosure.arbiter_of_model),
        ),
        conversation=conversation,
        check=aggregation.check,
        safe_trainers=SAFE_TRAINERS,
        needs_torch=needs_torch,
        last_step=last_round,
    )


def conversation(terms: Terms[TrainingParameters]) -> tuple[Line, ...]:
    """The table above as data, with the lines of the joining and of the sums."""
    scalar, stands_still = Protection.PLAIN_SCALAR, "Whether the mean loss over all rows stands still."
    stop = Line("stop", TRAINERS, ARBITER, Kind.BOOL, STOP_BYTES, scalar, stands_still)
    return (
        *admission.conversation(),
        *((stop,) if terms.parameters.tolerance > 0 else ()),
        *aggregation.conversation(terms),
    )


def last_round(parameters: TrainingParameters) -> int:
    """The round that leaves the last checkpoint."""
    return parameters.rounds
