"""What a task reads at one party, and so what its outputs there are made of. Pure.

The record is the party's own signed answer: it names the exact version of every table that the party brought. Addresses
of one party may learn what each other reads, so an output is made of all that the party brought to the task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from algorithms.component import PortKind
from flow.bindings import BoundTask
from flow.inputs import OutputInput, Reference, TableInput
from party.ids import Address
from storage.client import OutputRef, TableRef

AgreedTables = Mapping[str, Mapping[str, Mapping[str, str]]]
"""The exact version of each table that a party brings, by task, address and input."""


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
        exact = agreed.get(task.name, {}).get(str(address), {}).get(name)
        found.add(Node(exact or stored_name(reference, job, is_table=is_table), is_table))
    return found


def stored_name(reference: Reference, job: str, *, is_table: bool) -> str:
    """What an input of a job is called in the party's store."""
    if isinstance(reference, TableInput):
        return reference.name
    return reference.table(job) if is_table else reference.model(job)


def tasks_before(tasks: Mapping[str, BoundTask], party: str, reference: OutputInput) -> set[str]:
    """The tasks of the same job that an output of it was made by at a party, and by which their own inputs were."""
    found: set[str] = set()
    left = [reference.task]
    while left:
        name = left.pop()
        if name in found or name not in tasks:
            continue
        found.add(name)
        left += [r.task for _, _, r, _ in own_inputs(tasks[name], party) if isinstance(r, OutputInput) and not r.job]
    return found
