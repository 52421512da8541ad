"""The door to all installed components, ours and those of other distributions, found by name.

A component comes from the entry-point group `archipelago.components`, never from a name in a job. Ours are also listed
here, so that a checkout that is not installed works too.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from algorithms.component import Component
from algorithms.errors import UnknownComponent

GROUP = "archipelago.components"
OURS = ("evaluate", "exchange", "homo_lr", "homo_nn", "noop", "predict", "standard_scale")


def component(reference: str) -> Component:
    """The component that a job calls `name@version`, or `name` for its only version. Raises UnknownComponent."""
    name, _, version = reference.partition("@")
    if name not in _sources():
        close = get_close_matches(name, _sources(), n=1, cutoff=0.5)
        hint = f"Did you mean '{close[0]}'?" if close else f"Installed are {', '.join(sorted(_sources()))}."
        raise UnknownComponent(f"There is no component '{reference}'.", hint=hint)
    found = _load(name)
    if version and version != str(found.version):
        raise UnknownComponent(f"There is no component '{reference}'.", hint=f"Did you mean '{found.reference}'?")
    return found


def components() -> list[Component]:
    """All installed components, by name."""
    return [_load(name) for name in sorted(_sources())]


def packages() -> frozenset[str]:
    """The top packages of all installed components but ours."""
    return frozenset(entry.module.partition(".")[0] for entry in _sources().values() if entry is not None)


@cache
def _sources() -> dict[str, EntryPoint | None]:
    """Where each component comes from; None for ours."""
    installed: dict[str, EntryPoint | None] = {entry.name: entry for entry in entry_points(group=GROUP)}
    return installed | dict.fromkeys(OURS)


@cache
def _load(name: str) -> Component:
    entry = _sources()[name]
    found = entry.load() if entry else import_module(f"algorithms.{name}").COMPONENT
    if not isinstance(found, Component) or found.name != name:
        raise UnknownComponent(
            f"What is installed as '{name}' is not a component of that name.", hint="Ask who made the package."
        )
    return found
