"""Which networks there are and what they are told; pure data, no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from algorithms.api.errors import WrongModel

SCHEMA = 1


class NetSpec(BaseModel):
    """A network of the registry and its sizes.

    Attributes:
        net: `mlp`: linear layers; `cnn`: two convolutions with pooling, then linear layers.
        inputs: Number of feature columns.
        outputs: Number of classes.
        hidden: Width of each hidden linear layer.
        input_shape: Of an image in a row: channels, height, width (cnn).
        channels: Of the two convolutions (cnn).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    net: Literal["mlp", "cnn"]
    inputs: int = Field(ge=1)
    outputs: int = Field(ge=2)
    hidden: tuple[int, ...] = (64,)
    input_shape: tuple[int, int, int] | None = None
    channels: tuple[int, int] = (16, 32)

    def require_consistent(self) -> None:
        """Raises WrongModel if the shapes do not go together."""
        if self.net != "cnn":
            return
        if self.input_shape is None:
            raise WrongModel("A cnn needs `net.input_shape`: channels, height, width.", hint="Digits: [1, 8, 8].")
        channels, height, width = self.input_shape
        if channels * height * width != self.inputs:
            raise WrongModel(f"`net.input_shape` {list(self.input_shape)} does not make {self.inputs} columns.")
        if min(height, width) < 4:
            raise WrongModel("A cnn needs images of at least 4 by 4.")

    def details(self) -> dict[str, Any]:
        """The specification as JSON types, for a model's details."""
        return self.model_dump(mode="json")
