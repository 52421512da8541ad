"""On which node a reservation goes. Pure: what is known goes in, a choice or the reasons against it comes out.

Of the nodes that fit, the least loaded one is chosen: the one whose scarcest resource has the most left after the
choice; ties go by address, so that the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from node_manager.client import NOTHING, NodeStatus, Resources

MEBIBYTE = 1 << 20
MOST_SHOWN = 4
_SHOWN = {"cores": ("cores", 1), "memory_bytes": ("MiB of memory", MEBIBYTE), "gpus": ("GPUs", 1)}


@dataclass(frozen=True)
class Candidate:
    """One node as placement sees it.

    Attributes:
        address: How it is reached, which no other node shares.
        node: Its name, for people.
        capacity, reserved: What it has in all; what is promised already.
        silent: Whether it has not been heard from lately.
        pressure: Why it takes no more for now, in its own words; empty if it does.
    """

    address: str
    node: str
    capacity: Resources
    reserved: Resources
    silent: bool = False
    pressure: str = ""


@dataclass(frozen=True)
class Choice:
    """The address chosen, or why there is none: one sentence a node, and whether waiting can help."""

    address: str | None
    reasons: tuple[str, ...] = ()
    can_ever_fit: bool = True


def choose(wanted: Resources, candidates: Sequence[Candidate]) -> Choice:
    """Where `wanted` goes."""
    fitting: list[tuple[float, str]] = []
    reasons: list[str] = []
    for candidate in sorted(candidates, key=lambda c: (c.node, c.address)):
        reason = _against(wanted, candidate)
        if reason:
            reasons.append(f"{candidate.node}: {reason}")
        else:
            fitting.append((-_left(wanted, candidate), candidate.address))
    if fitting:
        return Choice(min(fitting)[1])
    if not reasons:
        reasons.append("no node is known")
    return Choice(None, tuple(reasons), any(wanted.within(c.capacity) for c in candidates) or not candidates)


def spread(sizes: Mapping[str, Resources], nodes: Sequence[Candidate]) -> dict[str, str] | None:
    """The node of each size, so that all go at once, each on the least loaded that leaves room for the rest; or None.

    `sizes` are few: those of one attempt.
    """
    return _spread(_largest_first(sizes), tuple(nodes))


def keep_room(sizes: Mapping[str, Resources], nodes: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The nodes with room for all sizes counted as reserved where they fit soonest; as they are if that is never.

    Where they do not fit now, that is where the smallest part of what is wanted is missing.
    """
    able = [node for node in nodes if not node.silent]
    if not able or never_fits(list(sizes.values()), [node.capacity for node in able]):
        return tuple(nodes)
    places = spread(sizes, nodes)
    kept = {node.address: node for node in nodes}
    for name, size in _largest_first(sizes):
        large = [kept[node.address] for node in able if size.within(node.capacity)]
        soonest = places[name] if places else min(large, key=lambda node: _lacking(size, node)).address
        kept[soonest] = _with(kept[soonest], size)
    return tuple(kept.values())


def _spread(sizes: Sequence[tuple[str, Resources]], nodes: tuple[Candidate, ...]) -> dict[str, str] | None:
    if not sizes:
        return {}
    (name, size), *rest = sizes
    tried = set()
    fitting = [node for node in nodes if not _against(size, node)]
    for node in sorted(fitting, key=lambda node: (-_left(size, node), node.address)):
        if (node.capacity, node.reserved) in tried:
            continue  # nodes alike are tried once
        tried.add((node.capacity, node.reserved))
        found = _spread(rest, tuple(_with(each, size) if each is node else each for each in nodes))
        if found is not None:
            return {name: node.address, **found}
    return None


def _largest_first(sizes: Mapping[str, Resources]) -> list[tuple[str, Resources]]:
    return sorted(sizes.items(), key=lambda each: (-each[1].gpus, -each[1].cores, -each[1].memory_bytes, each[0]))


def _with(node: Candidate, size: Resources) -> Candidate:
    return replace(node, reserved=node.reserved + size)


def never_fits(wanted: Sequence[Resources], capacities: Sequence[Resources]) -> str:
    """Why nodes of these capacities, all of them empty, cannot bear all of `wanted` at once; empty if they can."""
    for field, (name, unit) in _SHOWN.items():
        most = max(getattr(size, field) for size in wanted)
        largest = max(getattr(capacity, field) for capacity in capacities)
        if most > largest:
            return f"{-(-most // unit)} {name} wanted, the largest host has {largest // unit}"
    if _fit(wanted, [Candidate(str(at), "", capacity, NOTHING) for at, capacity in enumerate(capacities)]):
        return ""
    return f"{_listed(wanted)} wanted at once, the hosts have {_listed(capacities)}"


def fitting(rooms: Mapping[str, Resources], nodes: Sequence[Candidate]) -> list[str]:
    """Those of the rooms, by name, for which there is room now, the largest first; each takes what the next lacks."""
    found = []
    for name, size in _largest_first(rooms):
        place = choose(size, nodes).address
        if place is not None:
            found.append(name)
            nodes = [_with(node, size) if node.address == place else node for node in nodes]
    return found


def fit_now(wanted: Sequence[Resources], nodes: Sequence[NodeStatus]) -> bool:
    """Whether nodes that answer have all of `wanted` free at once."""
    return _fit(
        wanted,
        [
            Candidate(str(at), each.node, each.capacity, each.reserved, each.state != "up", each.pressure)
            for at, each in enumerate(nodes)
        ],
    )


def _fit(wanted: Sequence[Resources], nodes: Sequence[Candidate]) -> bool:
    return spread({str(at): size for at, size in enumerate(wanted)}, nodes) is not None


def _listed(amounts: Sequence[Resources]) -> str:
    more = f" and {len(amounts) - MOST_SHOWN} more" if len(amounts) > MOST_SHOWN else ""
    return ", ".join(_shown(amount) for amount in amounts[:MOST_SHOWN]) + more


def _shown(amount: Resources) -> str:
    gpus = f" + {amount.gpus} GPUs" if amount.gpus else ""
    return f"{amount.cores} cores + {amount.memory_bytes // MEBIBYTE} MiB{gpus}"


def _against(wanted: Resources, candidate: Candidate) -> str:
    """Why the candidate cannot take it now, or the empty string."""
    if candidate.silent:
        return "it has not been heard from"
    if candidate.pressure:
        return candidate.pressure
    for field, (name, unit) in _SHOWN.items():
        needed, has, reserved = (getattr(size, field) for size in (wanted, candidate.capacity, candidate.reserved))
        if reserved + needed > has:
            return f"{max(0, has - reserved) // unit} of {has // unit} {name} free, {needed // unit} wanted"
    return ""


def _lacking(wanted: Resources, node: Candidate) -> tuple[float, float, str]:
    """Smaller is sooner: the largest part of any resource that is wanted and not free, then how loaded the node is."""
    missing = 0.0
    for field in _SHOWN:
        asked, has, reserved = (getattr(size, field) for size in (wanted, node.capacity, node.reserved))
        if asked:
            missing = max(missing, (reserved + asked - has) / asked)
    return missing, -_left(wanted, node), node.address


def _left(wanted: Resources, candidate: Candidate) -> float:
    """The smallest share of any resource that is free once `wanted` is there too."""
    after, has = candidate.reserved + wanted, candidate.capacity
    shares = [1 - after.cores / has.cores, 1 - after.memory_bytes / has.memory_bytes]
    if has.gpus:
        shares.append(1 - after.gpus / has.gpus)
    return min(shares)
