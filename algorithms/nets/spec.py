"""Which networks there are and what they are told; pure data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from algorithms.api.errors import WrongModel
from algorithms.api.parameters import Group


class Net(Group):
    """Which network, and its sizes."""

    name: Literal["mlp", "cnn"] = Field("mlp", description="Linear layers, or two convolutions before them.")
    hidden: tuple[PositiveInt, ...] = Field((64,), description="Width of each hidden linear layer.")
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="Channels, height, width of a row (cnn)."
    )
    channels: tuple[PositiveInt, PositiveInt] = Field((16, 32), description="Channels of the two convolutions (cnn).")

    def idle(self) -> Mapping[str, str]:
        """Only a cnn has convolutions."""
        return {} if self.name == "cnn" else dict.fromkeys(("input_shape", "channels"), '`"name": "mlp"`')

    @model_validator(mode="after")
    def _cnn_has_a_shape(self) -> Self:
        if self.name == "cnn" and self.input_shape is None:
            raise ValueError("a cnn needs `net.input_shape`: channels, height, width; for digits [1, 8, 8]")
        return self


class NetSpec(Net):
    """A network for a number of feature columns and of classes; in a kept model, its name stands under `net`."""

    name: Literal["mlp", "cnn"] = Field(alias="net")
    inputs: int = Field(ge=1)
    outputs: int = Field(ge=2)

    @staticmethod
    def of(net: Net, inputs: int, outputs: int) -> NetSpec:
        """The network for so many columns and classes."""
        return NetSpec(net=net.name, inputs=inputs, outputs=outputs, **net.model_dump(exclude={"name"}))

    def require_consistent(self) -> None:
        """Raises WrongModel if the shapes do not go together."""
        if self.input_shape is None:
            return
        channels, height, width = self.input_shape
        if channels * height * width != self.inputs:
            raise WrongModel(f"`net.input_shape` {list(self.input_shape)} does not make {self.inputs} columns.")
        if min(height, width) < 4:
            raise WrongModel("A cnn needs images of at least 4 by 4.")

    def details(self) -> dict[str, Any]:
        """The specification as JSON types, for a model's details."""
        return self.model_dump(mode="json", by_alias=True)
