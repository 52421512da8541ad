"""What a task reads at one party, and so what its outputs there are made of. Pure.

The record is the party's own signed answer: it names the exact version of every table that the party brought. Addresses
of one party may learn what each other reads, so an output is made of all that the party brought to the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeVar

from algorithms.api.ports import PortKind
from flow.job.binding import BoundTask
from flow.job.references import OutputInput, Reference, TableInput
from flow.protocol.messages import BroughtTable
from party.ids import Address
from storage.client import OutputRef, TableRef

T = TypeVar("T")

AgreedTables = Mapping[str, Mapping[str, Mapping[str, BroughtTable]]]
"""Each table that a party brings, by task, address and input."""


@dataclass(frozen=True, order=True)
class Node:
    """A table or a model of the party, by the name that its store knows."""

    reference: str
    is_table: bool

    @property
    def job(self) -> str | None:
        """The job that made it; None: a person brought it."""
        return TableRef.parse(self.reference).job if self.is_table else OutputRef.parse(self.reference).job

    def may_be_of(self, task: str) -> bool:
        """Whether a task of its job may have made it; a table's name alone does not always tell which."""
        if self.is_table:
            return TableRef.parse(self.reference).name.startswith(f"{task}-")
        return OutputRef.parse(self.reference).task == task


def own_inputs(task: BoundTask, party: str) -> Iterator[tuple[Address, str, Reference, bool]]:
    """What a party brings to a task: the address, the input, what it names, and whether that is a table."""
    for address, side in task.sides.items():
        for name, reference in side.inputs.items() if address.party == party else ():
            yield address, name, reference, task.component.inputs[name].kind is PortKind.TABLE


def read_by(task: BoundTask, party: str, job: str, agreed: AgreedTables) -> set[Node]:
    """What a party's side of a task of a job reads."""
    found = set()
    for address, name, reference, is_table in own_inputs(task, party):
        brought = agreed.get(task.name, {}).get(str(address), {}).get(name)
        exact = brought.reference if brought is not None else stored_name(reference, job, is_table=is_table)
        found.add(Node(exact, is_table))
    return found


def stored_name(reference: Reference, job: str, *, is_table: bool) -> str:
    """What an input of a job is called in the party's store."""
    if isinstance(reference, TableInput):
        return reference.name
    return reference.table(job) if is_table else reference.model(job)


def gathered(
    tasks: Mapping[str, BoundTask], party: str, own: Callable[[BoundTask], Iterable[T]]
) -> dict[str, Mapping[T, None]]:
    """For each task: what `own` tells of it, and of the tasks of its job that its inputs at a party were made by.

    Each task is asked once, however many follow it; one that adds nothing shares what the one before it has.
    """
    before = {
        task.name: dict.fromkeys(
            reference.task
            for _, _, reference, _ in own_inputs(task, party)
            if isinstance(reference, OutputInput) and not reference.job and reference.task in tasks
        )
        for task in tasks.values()
    }
    found: dict[str, Mapping[T, None]] = {}
    for name in TopologicalSorter(before).static_order():
        parts = [found[earlier] for earlier in before[name]]
        parts.append(dict.fromkeys(own(tasks[name])))
        largest = max(parts, key=len)
        adds = any(item not in largest for part in parts if part is not largest for item in part)
        found[name] = {item: None for part in parts for item in part} if adds else largest
    return found
