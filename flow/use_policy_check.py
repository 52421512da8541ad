"""Whether a use policy speaks of what there is; a mistyped name would forbid more than was meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from algorithms.component import Component
from flow.errors import BadUsePolicy
from flow.policy import allowed, component_allowed
from party.suggestions import did_you_mean
from storage.client import UsePolicy


@dataclass(frozen=True)
class KnownHere:
    """What a use policy can speak of at this party, and the time."""

    components: Sequence[Component]
    parties: frozenset[str]
    users: frozenset[str]
    now: datetime


def require_known(policy: UsePolicy, before: UsePolicy, here: KnownHere) -> None:
    """Return if everything that `policy` says beyond `before` is known here and not over, else raise BadUsePolicy."""
    for pattern in _new(policy.components, before.components):
        if not any(component_allowed(component, (pattern,)) for component in here.components):
            names = [c.reference if "@" in pattern else c.name for c in here.components]
            raise BadUsePolicy(
                f"components: no component '{pattern}' is installed here.", hint=did_you_mean(pattern, names)
            )
    for pattern in _new(policy.peers, before.peers):
        if not _fits(pattern, here.parties):
            raise BadUsePolicy(
                f"peers: '{pattern}' is not a party that we trust.",
                hint=f"{did_you_mean(pattern, here.parties)} A new party is added with `flow party trust CARD`.",
            )
    for pattern in _new(policy.users, before.users):
        if not _fits(pattern, here.users):
            raise BadUsePolicy(
                f"users: this party has no user '{pattern}'.", hint="An officer sees the names: `flow user list`."
            )
    if policy.expires not in (None, before.expires) and policy.expires <= here.now:
        raise BadUsePolicy(
            f"expires: {policy.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC is over.",
            hint="Give a date to come; to forbid every use at once, allow no components.",
        )


def _new(patterns: Sequence[str], before: Sequence[str]) -> list[str]:
    return [pattern for pattern in patterns if pattern not in before]


def _fits(pattern: str, names: frozenset[str]) -> bool:
    return pattern == "*" or any(allowed(name, (pattern,)) for name in names)
