"""What of a task leaves the parties that have rows, and who gets to see it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel

from algorithms.api.component import weakest_protection
from algorithms.api.conversation import Protection
from algorithms.api.parameters import Group
from flow.job.binding import BoundTask
from party.ids import Role

M = TypeVar("M", bound=BaseModel)


def trainers(task: BoundTask) -> int:
    """How many parties have rows from which numbers meet in the task's sums; 0 for a task in which none do."""
    if weakest(task) is None:
        return 0
    return len({party for role in task.component.training_roles for party in task.parties.get(role, ())})


def weakest(task: BoundTask) -> Protection | None:
    """The weakest protection of numbers computed from rows, whichever side decides it; None if none leave."""
    found = [least for terms in task.terms if (least := weakest_protection(task.component, terms)) is not None]
    return min(found, key=lambda protection: protection.strength, default=None)


def remedy(task: BoundTask, least: Protection) -> tuple[str, object] | None:
    """A parameter of a task, and the value of it under which nothing leaves with less protection; None if none does."""
    for path, value in _choices(task.component.parameters):
        changed = (replace(own, parameters=_with(own.parameters, path, value)) for own in task.terms)
        found = (weakest_protection(task.component, own) for own in changed)
        if all(has is None or has.strength >= least.strength for has in found):
            return ".".join(path), value
    return None


def _choices(model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every value of every parameter that is one of a few, with its path."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal:
            yield from (((name,), value) for value in get_args(field.annotation))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from (((name, *path), value) for path, value in _choices(field.annotation))


def _with(model: M, path: tuple[str, ...], value: object) -> M:
    """The model with one value changed, as it would be checked only when it is used."""
    name, *rest = path
    return model.model_copy(update={name: _with(getattr(model, name), tuple(rest), value) if rest else value})


def who_sees(tasks: Mapping[str, BoundTask]) -> frozenset[str]:
    """The parties that see something in a job: all but those that only add up, in every task, what they cannot read."""
    found: set[str] = set()
    for task in tasks.values():
        least = weakest(task)
        reads = (least is not None and least.strength <= Protection.PLAIN.strength) or _decrypts(task, Role.ARBITER)
        found |= {address.party for address in task.addresses if reads or address.role is not Role.ARBITER}
    return frozenset(found)


def _decrypts(task: BoundTask, role: Role) -> bool:
    """Whether numbers computed from rows are said under a key of the role."""
    lines = (line for terms in task.terms for line in task.component.conversation(terms))
    return any(line.of_rows and role in line.key_roles for line in lines)
