"""Which words of a task's parameters do not go together: one table, each pair with its sentence.

What does nothing beside another option of its own group the group says itself (`Group.idle`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from algorithms.api.parameters import Group, Parameters


class Pair(NamedTuple):
    """Two words of which a job may use one: `group.option=value`, or `group.option` for any value but the default."""

    one: str
    other: str
    sentence: str


PAIRS = (
    Pair(
        "protection.kind=paillier",
        "encoding.kind=floats",
        "ciphertexts carry whole numbers: leave `encoding.kind` out, or choose fixed_point",
    ),
    Pair("encoding.kind=floats", "encoding.packing", "only fixed point is packed: leave `encoding.packing` out"),
    Pair("encoding.kind=floats", "encoding.value_range", "floats have no range: leave `encoding.value_range` out"),
)


def require_compatible(parameters: Parameters, implied: Mapping[str, str]) -> None:
    """Raises ValueError with the sentence of the first pair of words that parameters use both of.

    `implied` are options that a job may leave out, and what they are then.
    """
    words = {f"{option}={value}" for option, value in implied.items()}
    for group, settings in parameters:
        if isinstance(settings, Group):
            for name, value in settings:
                is_default = value == type(settings).model_fields[name].default
                words |= {f"{group}.{name}={value}", *(() if is_default else (f"{group}.{name}",))}
    for one, other, sentence in PAIRS:
        if one in words and other in words:
            raise ValueError(f"`{one}` and `{other}` do not go together: {sentence}")
