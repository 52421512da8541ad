"""What of a task leaves the parties that have rows, and who gets to see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from algorithms.component import Protection, aggregates, weakest_protection
from flow.bindings import BoundTask
from party.ids import Role


def trainers(task: BoundTask) -> int:
    """How many parties' updates meet in the task's sums; 0 for a task in which nothing is summed by an arbiter."""
    if not any(aggregates(task.component, own) for own in task.parameters):
        return 0
    return len({address.party for address in task.addresses if address.role is not Role.ARBITER})


def weakest(task: BoundTask) -> Protection | None:
    """The weakest protection of numbers computed from rows, whichever side decides it; None if none leave."""
    found = [least for own in task.parameters if (least := weakest_protection(task.component, own)) is not None]
    return min(found, key=lambda protection: protection.strength, default=None)


def who_sees(tasks: Mapping[str, BoundTask]) -> frozenset[str]:
    """The parties that see something in a job: all but those that only add up, in every task, what they cannot read."""
    found: set[str] = set()
    for task in tasks.values():
        least = weakest(task)
        reads = least is not None and least.strength <= Protection.PLAIN.strength
        found |= {address.party for address in task.addresses if reads or address.role is not Role.ARBITER}
    return frozenset(found)
