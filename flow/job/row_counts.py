"""How many rows tables have, as far as the parties of a job tell each other: who tells it, and what follows. Pure.

A component may need to know it before anything runs, and says so at an input (`Port.tells_rows`). Where a task of the
job makes the table, what is told is how many rows those tables have that it is made of (`Port.rows_of`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter

from algorithms.api.ports import PortKind
from flow.errors import Problem
from flow.job.binding import MOST_PROBLEMS, BoundTask
from flow.job.references import OutputInput
from party.ids import Address

Place = tuple[str, Address, str]
"""A task, an address and an input."""


def unknown_rows(tasks: Mapping[str, BoundTask]) -> list[Problem]:
    """The inputs that tell how many rows their tables have, where nobody can know that before these are made."""
    known = _rows(tasks, {place: 0 for place, before in _origins(tasks).items() if before is None})
    return [
        Problem(
            path=f"tasks.{task}.inputs.{name}",
            message=f"nobody knows before it is made how many rows the table of '{address}' will have.",
            hint="Name a table that was uploaded or made by another job.",
        )
        for task, address, name in _asking(tasks)
        if (task, address, name) not in known
    ][:MOST_PROBLEMS]


def told_places(tasks: Mapping[str, BoundTask]) -> frozenset[Place]:
    """Where the tables are bound of which their parties tell how many rows they have."""
    wanted, told = set(_asking(tasks)), set[Place]()
    for place, before in reversed(_origins(tasks).items()):
        if place in wanted and before is None:
            told.add(place)
        elif place in wanted:
            wanted.update(before or ())
    return frozenset(told)


def with_rows(tasks: Mapping[str, BoundTask], told: Mapping[Place, int]) -> dict[str, BoundTask]:
    """The tasks with the rows of their tables; `told` has those of all `told_places`."""
    known = _rows(tasks, told)
    rows: dict[str, dict[str, dict[Address, int]]] = {task: {} for task in tasks}
    for task, address, name in _asking(tasks):
        rows[task].setdefault(name, {})[address] = known[task, address, name]
    return {name: replace(task, rows=rows[name]) for name, task in tasks.items()}


def _rows(tasks: Mapping[str, BoundTask], told: Mapping[Place, int]) -> dict[Place, int]:
    known = dict(told)
    for place, before in _origins(tasks).items():
        if counts := [known[each] for each in before or () if each in known]:
            known[place] = max(counts)
    return known


def _asking(tasks: Mapping[str, BoundTask]) -> Iterator[Place]:
    for task in tasks.values():
        names = [name for name, port in task.component.inputs.items() if port.tells_rows]
        for address in task.addresses if names else ():
            yield from ((task.name, address, name) for name in names if name in task.sides[address].inputs)


def _origins(tasks: Mapping[str, BoundTask]) -> dict[Place, tuple[Place, ...] | None]:
    """All table inputs of a job in which rows are told, and those that their rows come from: these stand before them.

    None for a table that is there before the job.
    """
    if next(_asking(tasks), None) is None:
        return {}
    found: dict[Place, tuple[Place, ...] | None] = {}
    for task in TopologicalSorter({name: task.needs for name, task in tasks.items()}).static_order():
        component = tasks[task].component
        for address, side in tasks[task].sides.items():
            for name, reference in side.inputs.items():
                if component.inputs[name].kind is not PortKind.TABLE:
                    continue
                origins = None
                if isinstance(reference, OutputInput) and reference.job is None:
                    output = tasks[reference.task].component.outputs[reference.output]
                    sides = (Address(address.party, role) for role in sorted(output.roles))
                    origins = tuple((reference.task, each, output.rows_of) for each in sides)
                found[task, address, name] = origins
    return found
