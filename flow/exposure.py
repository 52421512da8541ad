"""What of a task leaves the parties that have rows, and who gets to see it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from algorithms.component import Parameters, Protection, aggregates, weakest_protection
from flow.bindings import BoundTask
from party.ids import Role


def trainers(task: BoundTask) -> int:
    """How many parties' updates meet in the task's sums; 0 for a task in which nothing is summed by an arbiter."""
    if not any(aggregates(task.component, own) for own in _parameters(task)):
        return 0
    return len({address.party for address in task.addresses if address.role is not Role.ARBITER})


def weakest(task: BoundTask) -> Protection | None:
    """The weakest protection of numbers computed from rows, whichever side decides it; None if none leave."""
    found = [least for own in _parameters(task) if (least := weakest_protection(task.component, own)) is not None]
    return min(found, key=lambda protection: protection.strength, default=None)


def sees_nothing(party: str, tasks: Mapping[str, BoundTask]) -> bool:
    """Whether a party only adds up, in every task of a job, what it cannot read."""
    for task in tasks.values():
        roles = {address.role for address in task.addresses if address.party == party}
        if roles - {Role.ARBITER}:
            return False
        least = weakest(task) if roles else None
        if least is not None and least.strength <= Protection.PLAIN.strength:
            return False
    return True


def _parameters(task: BoundTask) -> Iterator[Parameters]:
    """Each side's parameters, as that side will run them."""
    for side in task.sides.values():
        yield task.component.parameters.model_validate(side.parameters)
