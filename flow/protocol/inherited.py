"""Whether a task may use what was made of tables and models of this party, by the rules of all those. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from algorithms.api.component import Component
from flow.protocol.policy import Source, allowed, component_allowed
from flow.protocol.reasons import Reason


def excluded(name: str, sources: Iterable[Source], parties: Iterable[str], absent: str) -> list[Reason]:
    """Why something is not used with these other parties; to them it is as if it were not there: `absent`."""
    others = tuple(parties)
    return [
        Reason(absent, f"{name} was made of {source.reference}, which may not be used with {other}.")
        for source in sources
        for other in others
        if not allowed(other, source.peers)
    ]


def inherited(name: str, sources: Iterable[Source], component: Component, now: datetime) -> Iterator[Reason]:
    """Why a component may not use something now: what it was made of may not be used by it, or no longer."""
    for source in sources:
        if not component_allowed(component, source.components):
            by = f"may not be used by {component.reference}"
            table, is_table, _ = source.reference.partition("@")
            rules = f"'flow {'data' if is_table else 'model'} policy {table}' says by what"
            yield Reason(
                f"{name} {by}.", f"{name} was made of {source.reference}, which {by}, nor what is made of it; {rules}."
            )
        if source.expires is not None and source.expires <= now:
            yield Reason(
                f"{name} may no longer be used.",
                f"{name} was made of {source.reference}, and the permission to use that ended on "
                f"{source.expires:%Y-%m-%d}.",
            )
