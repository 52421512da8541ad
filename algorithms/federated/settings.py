"""What is set of a federated training, whatever its model, and what its sides say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from algorithms.aggregate import aggregation
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.ports import LABELLED, Port, PortKind
from algorithms.federated.presets import expanded, require_as_the_preset_says
from algorithms.federated.server import Server
from algorithms.kit import admission

STOP_BYTES = 1 << 12


class TrainingParameters(AggregationParameters):
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
        require_as_the_preset_says(self, self.preset)
        return self


def last_round(parameters: TrainingParameters) -> int:
    """The round that leaves the last checkpoint."""
    return parameters.rounds


def conversation(parameters: TrainingParameters) -> tuple[Line, ...]:
    """The lines of the joining, of the aggregation, and with a tolerance the one by which the trainers stop."""
    scalar, stands_still = Protection.PLAIN_SCALAR, "Whether the mean loss over all rows stands still."
    stop = Line("stop", TRAINERS, ARBITER, ("round",), "bool", STOP_BYTES, scalar, stands_still)
    return (
        *admission.conversation(),
        *((stop,) if parameters.tolerance > 0 else ()),
        *aggregation.conversation(parameters),
    )


def inputs(kind: str) -> dict[str, Port]:
    """What a classifier is trained on, compared on and started from; `kind` is that of its model."""
    return {
        "train": Port(PortKind.TABLE, TRAINERS, columns=LABELLED),
        "validate": Port(PortKind.TABLE, TRAINERS, optional=True, columns=LABELLED),
        "model": Port(PortKind.MODEL, TRAINERS, optional=True, models=(kind,)),
    }


def outputs(kind: str) -> dict[str, Port]:
    """The trained model, at each trainer."""
    return {"model": Port(PortKind.MODEL, TRAINERS, models=(kind,))}
