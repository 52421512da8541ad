"""Whether a policy speaks of what there is; a mistyped name would forbid, or allow, more than was meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from algorithms.api.component import Component
from flow.errors import BadUsePolicy, Problem
from flow.protocol.policy import allowed, component_allowed
from party.settings import PolicySettings
from runtime.suggestions import did_you_mean
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
    for problem in (
        *_components(_new(policy.components, before.components), here.components),
        *_peers(_new(policy.peers, before.peers), here.parties),
    ):
        raise BadUsePolicy(f"{problem.path}: {problem.message}", hint=problem.hint)
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


def unknown_names(
    policy: PolicySettings,
    components: Sequence[Component],
    parties: Collection[str],
    before: PolicySettings | None = None,
) -> list[Problem]:
    """Names in a party's policy, beyond those that stood in `before`, that fit no component and no party here."""
    least, was = (_by_component(p) for p in (policy, before))
    known = {"*", *(c.name for c in components), *(c.reference for c in components)}
    return [
        *_components(_new(policy.components, before.components if before else ()), components),
        *_peers(_new(policy.peers, before.peers if before else ()), parties),
        *(
            Problem(
                path="min_protection",
                message=f"no component '{name}' is installed here.",
                hint=did_you_mean(name, [c.reference if "@" in name else c.name for c in components]),
            )
            for name in _new(least, was)
            if name not in known
        ),
    ]


def _by_component(policy: PolicySettings | None) -> tuple[str, ...]:
    least = policy.min_protection if policy else ""
    return () if isinstance(least, str) else tuple(least)


def _components(patterns: Sequence[str], components: Sequence[Component]) -> Iterator[Problem]:
    for pattern in patterns:
        if not any(component_allowed(component, (pattern,)) for component in components):
            names = [c.reference if "@" in pattern else c.name for c in components]
            message = f"no component '{pattern}' is installed here."
            yield Problem(path="components", message=message, hint=did_you_mean(pattern, names))


def _peers(patterns: Sequence[str], parties: Collection[str]) -> Iterator[Problem]:
    for pattern in patterns:
        if not _fits(pattern, parties):
            hint = f"{did_you_mean(pattern, parties)} A new party is added with `flow party trust CARD`."
            yield Problem(path="peers", message=f"'{pattern}' is not a party that we trust.", hint=hint)


def _new(patterns: Sequence[str], before: Sequence[str]) -> list[str]:
    return [pattern for pattern in patterns if pattern not in before]


def _fits(pattern: str, names: Collection[str]) -> bool:
    return pattern == "*" or any(allowed(name, (pattern,)) for name in names)
