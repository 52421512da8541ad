"""What is set of a federated training, whatever its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.api.parameters import Group
from algorithms.federated.presets import expanded, require_as_the_preset_says
from algorithms.federated.server import Server


class LocalTraining(Group):
    """How a trainer trains between two versions of the model; a kind of model adds its own."""

    batch_size: int = Field(64, ge=1, description="Most rows in a mini-batch.")
    epochs: int = Field(1, ge=1, description="Passes over the own rows in a round.")


class TrainingParameters(AggregationParameters):
    """What all parties of a training must have alike; what concerns a party's own training may differ."""

    SHARED: ClassVar[frozenset[str]] = AggregationParameters.SHARED | {"rounds", "tolerance", "server"}

    preset: Literal["fedavg", "fedavgm", "fedadam"] | None = Field(
        None, description="A published algorithm: what it says need not be said again."
    )
    rounds: int = Field(20, ge=1, le=1_000_000, description="Rounds of training.")
    tolerance: float = Field(0.0, ge=0, description="Stop when the loss moves less than this between rounds; 0: never.")
    server: Server = Field(Server(), description="What is done with the sum of the updates.")
    local: LocalTraining = Field(LocalTraining(), description="How each party trains on its own rows.")

    @classmethod
    def written_out(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """With what the preset says."""
        return expanded(values)

    @model_validator(mode="after")
    def _as_the_preset_says(self) -> Self:
        require_as_the_preset_says(self, self.preset)
        return self
