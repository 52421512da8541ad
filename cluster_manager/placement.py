"""On which node a reservation goes. Pure: what is known goes in, a choice or the reasons against it comes out.

Of the nodes that fit, the least loaded one is chosen: the one whose scarcest resource has the most left after the
choice; ties go by address, so that the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MEBIBYTE = 1 << 20
MOST_SHOWN = 4


@dataclass(frozen=True)
class Amount:
    """Some cores, memory and GPUs."""

    cores: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cores + other.cores, self.memory_bytes + other.memory_bytes, self.gpus + other.gpus)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cores - other.cores, self.memory_bytes - other.memory_bytes, self.gpus - other.gpus)


@dataclass(frozen=True)
class Candidate:
    """One node as placement sees it.

    Attributes:
        address: How it is reached, which no other node shares.
        node: Its name, for people.
        capacity, reserved: What it has in all; what is promised already.
        silent: Whether it has not been heard from lately.
    """

    address: str
    node: str
    capacity: Amount
    reserved: Amount
    silent: bool = False


@dataclass(frozen=True)
class Choice:
    """The address chosen, or why there is none: one sentence a node, and whether waiting can help."""

    address: str | None
    reasons: tuple[str, ...] = ()
    can_ever_fit: bool = True


def choose(wanted: Amount, candidates: Sequence[Candidate]) -> Choice:
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
    return Choice(None, tuple(reasons), any(_fits(wanted, c.capacity) for c in candidates) or not candidates)


def never_fits(wanted: Sequence[Amount], capacities: Sequence[Amount]) -> str:
    """Why nodes of these capacities, all of them empty, cannot bear all of `wanted` at once; empty if they can."""
    for name, unit in (("cores", 1), ("MiB of memory", MEBIBYTE), ("GPUs", 1)):
        most = max(_wanted(amount, name) for amount in wanted)
        largest = max(_wanted(capacity, name) for capacity in capacities)
        if most > largest:
            return f"{-(-most // unit)} {name} wanted, the largest host has {largest // unit}"
    if _packed(sorted(wanted, key=lambda a: (a.gpus, a.cores, a.memory_bytes), reverse=True), tuple(capacities)):
        return ""
    return f"{_listed(wanted)} wanted at once, the hosts have {_listed(capacities)}"


def _packed(wanted: Sequence[Amount], left: tuple[Amount, ...]) -> bool:
    """Whether all of `wanted`, a handful at most, go into what is left on the nodes."""
    if not wanted:
        return True
    return any(
        _packed(wanted[1:], (*left[:at], free - wanted[0], *left[at + 1 :]))
        for at, free in enumerate(left)
        if free not in left[:at] and _fits(wanted[0], free)  # nodes alike are tried once
    )


def _listed(amounts: Sequence[Amount]) -> str:
    more = f" and {len(amounts) - MOST_SHOWN} more" if len(amounts) > MOST_SHOWN else ""
    return ", ".join(_shown(amount) for amount in amounts[:MOST_SHOWN]) + more


def _shown(amount: Amount) -> str:
    gpus = f" + {amount.gpus} GPUs" if amount.gpus else ""
    return f"{amount.cores} cores + {amount.memory_bytes // MEBIBYTE} MiB{gpus}"


def _against(wanted: Amount, candidate: Candidate) -> str:
    """Why the candidate cannot take it now, or the empty string."""
    if candidate.silent:
        return "it has not been heard from"
    after = candidate.reserved + wanted
    for name, needed, has, unit in (
        ("cores", after.cores, candidate.capacity.cores, 1),
        ("MiB of memory", after.memory_bytes, candidate.capacity.memory_bytes, MEBIBYTE),
        ("GPUs", after.gpus, candidate.capacity.gpus, 1),
    ):
        if needed > has:
            free = max(0, has - _reserved(candidate, name)) // unit
            return f"{free} of {has // unit} {name} free, {_wanted(wanted, name) // unit} wanted"
    return ""


def _reserved(candidate: Candidate, name: str) -> int:
    return _wanted(candidate.reserved, name)


def _wanted(amount: Amount, name: str) -> int:
    return {"cores": amount.cores, "MiB of memory": amount.memory_bytes, "GPUs": amount.gpus}[name]


def _fits(wanted: Amount, capacity: Amount) -> bool:
    return (
        wanted.cores <= capacity.cores and wanted.memory_bytes <= capacity.memory_bytes and wanted.gpus <= capacity.gpus
    )


def _left(wanted: Amount, candidate: Candidate) -> float:
    """The smallest share of any resource that is free once `wanted` is there too."""
    after, has = candidate.reserved + wanted, candidate.capacity
    shares = [1 - after.cores / has.cores, 1 - after.memory_bytes / has.memory_bytes]
    if has.gpus:
        shares.append(1 - after.gpus / has.gpus)
    return min(shares)
