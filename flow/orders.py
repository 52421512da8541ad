"""From a manifest to what lower rooms are told: the gateway's contract and one executor's order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from algorithms.component import Line
from flow.bindings import BoundTask
from flow.errors import ManifestMismatch
from flow.inputs import OutputInput, Reference
from flow.manifest import task_seed
from flow.messages import Manifest
from flow.resuming import resume_point
from gateway.client import ContractLine, JobContract
from node_manager.client import Input, Order, Resources
from party.ids import Address, AttemptId


@dataclass(frozen=True, repr=False)
class Launch:
    """What an executor of this party runs against: its gateway's local door, the party's store, its own token."""

    gateway: str
    store: str
    token: str
    incarnation: int


def contract_for(manifest: Manifest, tasks: Mapping[str, BoundTask], party: str) -> JobContract:
    """What may pass this party's door for a job: the declared conversations, roles written out as addresses.

    Raises ManifestMismatch if parties bring models of different kinds for one input.
    """
    lines: dict[str, tuple[ContractLine, ...]] = {}
    for task in tasks.values():
        earlier = _models(manifest, task)
        if own := [address for address in task.sides if address.party == party]:
            lines[task.name] = lines_for(task, own, earlier)
    return JobContract(job=manifest.proposal.job, manifest_digest=manifest.digest, tasks=lines)


def lines_for(
    task: BoundTask, addresses: Iterable[Address], earlier: Mapping[str, str] = MappingProxyType({})
) -> tuple[ContractLine, ...]:
    """What is said in a task on the terms of these addresses; `earlier` as for `BoundTask.terms_of`."""
    found: dict[ContractLine, None] = {}
    for address in addresses:
        for line in task.component.conversation(task.terms_of(task.sides[address], earlier)):
            found[_expanded(line, task.addresses)] = None
    return tuple(found)


def resources_for(task: BoundTask, address: Address) -> Resources:
    """What the executor of an address needs."""
    wanted = task.sides[address].resources
    return Resources(cores=wanted.cores, memory_bytes=wanted.memory_bytes, gpus=wanted.gpus)


def order_for(manifest: Manifest, task: BoundTask, address: Address, name: AttemptId, launch: Launch) -> Order:
    """Everything the executor of an address needs for an attempt."""
    side = task.sides[address]
    parameters: dict[str, Any] = side.parameters
    return Order(
        job=name.job,
        task=name.task,
        attempt=name.attempt,
        incarnation=launch.incarnation,
        address=str(address),
        addresses=tuple(str(a) for a in task.addresses),
        component=task.component.reference,
        code_digest=manifest.proposal.code[task.component.reference],
        parameters=parameters,
        inputs={key: _input(manifest, task, address, key, value) for key, value in side.inputs.items()},
        outputs=side.outputs,
        resources=resources_for(task, address),
        seed=task_seed(manifest.proposal.seed, task.name),
        gateway=launch.gateway,
        token=launch.token,
        store=launch.store,
        resume=resume_point(manifest, task),
    )


def _input(manifest: Manifest, task: BoundTask, address: Address, key: str, reference: Reference) -> Input:
    kind = str(task.component.inputs[key].kind)
    for signed in manifest.answers:
        if signed.answer.party == address.party:
            brought = signed.answer.tables.get(task.name, {}).get(str(address), {}).get(key)
            if brought is not None:
                return Input(kind=kind, reference=brought.reference)
    if not isinstance(reference, OutputInput):
        return Input(kind=kind, reference=reference.name)
    job = manifest.proposal.job
    return Input(kind=kind, reference=reference.table(job) if kind == "table" else reference.model(job))


def _models(manifest: Manifest, task: BoundTask) -> dict[str, str]:
    """The kinds of the earlier models of a task, by input, as their holders signed them."""
    found: dict[str, str] = {}
    for signed in manifest.answers:
        for name, kind in signed.answer.models.get(task.name, {}).items():
            if found.setdefault(name, kind) != kind:
                raise ManifestMismatch(
                    f"tasks.{task.name}.inputs.{name}: {signed.answer.party} holds a model of kind {kind}, others of "
                    f"kind {found[name]}."
                )
    return found


def _expanded(line: Line, addresses: Iterable[Address]) -> ContractLine:
    everybody = tuple(addresses)
    return ContractLine(
        tag=line.tag,
        frm=frozenset(str(a) for a in everybody if a.role in line.frm),
        to=frozenset(str(a) for a in everybody if a.role in line.to),
        kind=str(line.kind),
        max_bytes=line.max_bytes,
        protection=str(line.protection),
    )
