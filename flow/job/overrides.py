"""Values of a job, and what is said more closely of some of them: by role, by party, or later. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Common values and the own ones over them; of groups of values key by key, however deep."""
    both = {key: merged(common[key], value) for key, value in own.items() if _are_groups(common.get(key), value)}
    return {**common, **own, **both}


def _are_groups(*values: object) -> bool:
    return all(isinstance(value, Mapping) for value in values)
