"""Whose turn it is where several attempts wait for room. Pure: what is known goes in, places or a reason comes out.

An attempt that found no room leaves a claim. In their order (priority, then how long this party has known the job)
claims keep the room where they fit soonest; who comes later gets what is left beside them, so that small ones go ahead
only where that delays nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cluster_manager.placement import Candidate, choose, keep_room, spread
from node_manager.client import Resources
from party.ids import AttemptId


@dataclass(frozen=True)
class Turn:
    """Where an attempt stands among those that wait for room at this party.

    Attributes:
        priority: As far as this party grants it; higher goes first.
        since_ms: When this party first saw the job, by its own clock; older goes first.
        owner: Whose job it is, for people: a party, or a user of our own.
        most: How many jobs of this owner may have room at once; 0: any number.
    """

    priority: int
    since_ms: int
    owner: str = ""
    most: int = 0


BEFORE_ALL = Turn(priority=10, since_ms=0)
"""Of what ran already and lost its room: above every priority that a job may have."""


@dataclass(frozen=True)
class Claim:
    """Room that an attempt wants at this party for each of its addresses here, all at once or not at all."""

    attempt: AttemptId
    sizes: Mapping[str, Resources]
    turn: Turn

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Smaller goes first."""
        return -self.turn.priority, self.turn.since_ms, self.attempt.job, self.attempt.task


@dataclass(frozen=True)
class Standing:
    """A claim in its place in the queue.

    Attributes:
        nodes: What is left to it: the nodes with what is reserved and what earlier claims keep.
        behind: The other jobs that are before it and not barred.
        barred: Whether its owner has as many jobs with room, or before it in the queue, as may be.
    """

    claim: Claim
    nodes: tuple[Candidate, ...]
    behind: tuple[str, ...]
    barred: bool


@dataclass(frozen=True)
class Wait:
    """There is no room now. `why` and `help` name no other job, party or user: they are told to who leads the job.

    Nor do they count others, so that they stay the same while the queue moves.
    """

    why: str
    help: str = ""


def standings(
    claims: Iterable[Claim], at_work: Mapping[str, Collection[str]], nodes: Sequence[Candidate]
) -> Iterator[Standing]:
    """Every claim in its turn. `at_work` are the jobs that have room now, by owner."""
    jobs = {owner: set(known) for owner, known in at_work.items()}
    kept = tuple(nodes)
    before: list[str] = []
    for claim in sorted(claims, key=lambda each: each.order):
        of_owner, job = jobs.setdefault(claim.turn.owner, set()), claim.attempt.job
        barred = job not in of_owner and 0 < claim.turn.most <= len(of_owner)
        yield Standing(claim, kept, tuple(each for each in before if each != job), barred)
        if not barred:
            of_owner.add(job)
            before += [] if job in before else [job]
            if any(node.reserved.cores < node.capacity.cores for node in kept):  # else there is nothing left to keep
                kept = keep_room(claim.sizes, kept)


def decide(
    wanted: Claim, claims: Iterable[Claim], at_work: Mapping[str, Collection[str]], nodes: Sequence[Candidate]
) -> dict[str, str] | Wait:
    """On which node each address goes, or why none goes anywhere now."""
    task = (wanted.attempt.job, wanted.attempt.task)
    earlier = [each for each in claims if (each.attempt.job, each.attempt.task) != task and each.order < wanted.order]
    *_, standing = standings([*earlier, wanted], at_work, nodes)
    return outcome(standing, nodes)


def outcome(standing: Standing, nodes: Sequence[Candidate]) -> dict[str, str] | Wait:
    """What comes of a claim in its place; `nodes` are as they are without any claim."""
    claim = standing.claim
    if standing.barred:
        owner, most = claim.turn.owner, claim.turn.most
        return Wait(f"{owner} may have room for {most} job(s) here at once, and others of its jobs come first")
    places = spread(claim.sizes, standing.nodes)
    if places is not None:
        return places
    if spread(claim.sizes, nodes) is not None:
        first = "jobs that came first or count for more" if standing.behind else "other tasks of this job"
        return Wait(f"the room is kept for {first}")
    return _no_room(claim, nodes, "; other jobs are before it" if standing.behind else "")


def _no_room(claim: Claim, nodes: Sequence[Candidate], after: str) -> Wait:
    choices = [choose(size, nodes) for size in claim.sizes.values()]
    tight = next((choice for choice in choices if choice.address is None), None)
    why = "; ".join(tight.reasons) if tight else "not for all of its executors at the same time"
    ever = tight is None or tight.can_ever_fit
    return Wait(f"{why}{after}", "" if ever else "No node of this party is ever that large: ask for less.")
