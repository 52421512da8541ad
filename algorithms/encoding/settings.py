"""The parameters of encoding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from algorithms.api.parameters import Group


class EncodingSettings(Group):
    """How the trainers' vectors are written."""

    kind: Literal["floats", "fixed_point"] | None = Field(
        None, description="Left out: fixed point where they are encrypted, else floats, as they are."
    )
    packing: Literal["exact", "compact"] = Field(
        "exact", description="Fixed point: 33 bits a number, or 16 with stochastic rounding and error feedback."
    )
    value_range: float = Field(
        16.0, gt=0, le=2.0**40, description="Fixed point: every number in a weighted update is smaller than this."
    )
