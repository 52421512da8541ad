"""The door to all installed components, ours and those of other distributions, found by name.

A component comes from the entry-point group `archipelago.components`, never from a name in a job. So do ours: a
checkout must be installed.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from algorithms.api.component import Component
from algorithms.api.errors import InstalledTwice, NotInstalled, UnknownComponent
from runtime.suggestions import did_you_mean

GROUP = "archipelago.components"
OURS = "algorithms"
_INSTALL = "Run `pip install -e .` in the checkout, with the Python that is to run it."


def component(reference: str) -> Component:
    """The component that a job calls `name@version`, or `name` for its only version.

    Raises:
        UnknownComponent: There is none.
        NotInstalled, InstalledTwice: As `components`.
    """
    name, _, version = reference.partition("@")
    if name not in _sources():
        raise UnknownComponent(f"There is no component '{reference}'.", hint=did_you_mean(name, _sources()))
    found = _load(name)
    if version and version != str(found.version):
        raise UnknownComponent(f"There is no component '{reference}'.", hint=f"Did you mean '{found.reference}'?")
    return found


def components() -> list[Component]:
    """All installed components, by name.

    Raises:
        NotInstalled: Ours are not among them, or not where they are said to be: this is a checkout that is not
            installed, or was another when it was.
        InstalledTwice: Two distributions have one of the same name.
    """
    return [_load(name) for name in sorted(_sources())]


def packages() -> frozenset[str]:
    """The top packages of all installed components."""
    return frozenset(_package(entry) for entry in _sources().values())


@cache
def _sources() -> dict[str, EntryPoint]:
    """Where each component comes from."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise InstalledTwice(
                f"Two installed packages have a component '{entry.name}': {known.value} and {entry.value}.",
                hint="Uninstall one of them.",
            )
    if not any(_package(entry) == OURS for entry in found.values()):
        raise NotInstalled(
            "No component of this platform is found: it runs from a checkout that is not installed.",
            hint=_INSTALL,
        )
    return found


def _package(entry: EntryPoint) -> str:
    return entry.module.partition(".")[0]


@cache
def _load(name: str) -> Component:
    entry = _sources()[name]
    try:
        found = entry.load()
    except ModuleNotFoundError as absent:
        if absent.name is None or not f"{entry.module}.".startswith(f"{absent.name}."):
            raise  # something that it imports
        raise NotInstalled(
            f"The component '{name}' is installed as {entry.value}, which is not there: its package has changed since.",
            hint=_INSTALL,
        ) from None
    if not isinstance(found, Component) or found.name != name:
        raise UnknownComponent(
            f"What is installed as '{name}' is not a component of that name.", hint="Ask who made the package."
        )
    return found
