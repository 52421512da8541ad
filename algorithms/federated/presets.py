"""Published algorithms as rows of settings.

Sources: FedAvg McMahan et al. 2017, arXiv:1602.05629; FedAvgM Hsu et al. 2019, arXiv:1909.06335; FedAdam Reddi et al.
2021, arXiv:2003.00295.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.api.parameters import Parameters

PRESETS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "fedavg": {"server": {"optimizer": "sgd"}},
    "fedavgm": {"server": {"optimizer": "momentum"}},
    "fedadam": {"server": {"optimizer": "adam"}},
}


def expanded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with what their `preset` says written out where they say nothing themselves."""
    found = dict(values)
    for group, row in PRESETS.get(str(values.get("preset")), {}).items():
        if isinstance(said := found.get(group, {}), Mapping):
            found[group] = {**row, **said}
    return found


def require_as_the_preset_says(parameters: Parameters, preset: str | None) -> None:
    """Raises ValueError for a parameter that contradicts the preset."""
    for group, row in PRESETS.get(preset or "", {}).items():
        for name, value in row.items():
            if (found := getattr(getattr(parameters, group), name)) != value:
                raise ValueError(f"`{group}.{name}` is {found!r}, the preset {preset} says {value!r}")
