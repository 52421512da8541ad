"""What a job sets of a component: parameters, and groups of them that belong to one concept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Group(BaseModel):
    """The parameters of one concept: `"server": {"optimizer": "adam"}`. An option that would do nothing is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def idle(self) -> Mapping[str, str]:
        """The options that do nothing beside the others, and beside which."""
        return {}

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        self.require_unset(self.idle())
        return self

    def require_unset(self, idle: Mapping[str, str]) -> None:
        """Raises ValueError if one of these options is not as it is by default."""
        for name, beside in idle.items():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` does nothing with {beside}: leave it out")


class Parameters(BaseModel):
    """The base of every component's parameters: unknown keys are errors, values are immutable.

    Attributes:
        SHARED: The fields that all addresses of a task must have alike; the rest may differ.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    SHARED: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def written_out(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a job says, with what follows from it alone; done before it is checked."""
        return dict(values)

    def shared(self) -> dict[str, object]:
        """What all addresses of a task must have alike, by the name of the field, as JSON types."""
        return self.model_dump(mode="json", include=set(self.SHARED))
