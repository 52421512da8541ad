"""On which node a reservation goes. Pure: what is known goes in, a choice or the reasons against it comes out.

Of the nodes that fit, the least loaded one is chosen: the one whose scarcest resource has the most left after the
choice; ties go by address, so that the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Amount:
    """Some cores, memory and GPUs."""

    cores: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cores + other.cores, self.memory_bytes + other.memory_bytes, self.gpus + other.gpus)


@dataclass(frozen=True)
class Candidate:
    """One node as placement sees it.

    Attributes:
        address: How it is reached, which no other node shares.
        node: Its name, for people.
        capacity, reserved: What it has in all; what is promised already.
        capability: The CPU features on which bit-identical results depend.
        silent: Whether it has not been heard from lately.
    """

    address: str
    node: str
    capacity: Amount
    reserved: Amount
    capability: str = ""
    silent: bool = False


@dataclass(frozen=True)
class Choice:
    """The address chosen, or why there is none: one sentence a node, and whether waiting can help."""

    address: str | None
    reasons: tuple[str, ...] = ()
    can_ever_fit: bool = True


def choose(wanted: Amount, candidates: Sequence[Candidate], *, capability: str = "") -> Choice:
    """Where `wanted` goes; with a `capability`, only onto nodes that compute bit for bit alike."""
    fitting: list[tuple[float, str]] = []
    reasons: list[str] = []
    for candidate in sorted(candidates, key=lambda c: (c.node, c.address)):
        reason = _against(wanted, candidate, capability)
        if reason:
            reasons.append(f"{candidate.node}: {reason}")
        else:
            fitting.append((-_left(wanted, candidate), candidate.address))
    if fitting:
        return Choice(min(fitting)[1])
    if not reasons:
        reasons.append("no node is known")
    return Choice(None, tuple(reasons), any(_fits(wanted, c.capacity) for c in candidates) or not candidates)


def _against(wanted: Amount, candidate: Candidate, capability: str) -> str:
    """Why the candidate cannot take it now, or the empty string."""
    if candidate.silent:
        return "it has not been heard from"
    if capability and candidate.capability != capability:
        return f"its processor differs ({candidate.capability}, needed is {capability})"
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
