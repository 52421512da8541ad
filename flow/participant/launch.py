"""From a manifest to what lower rooms are told: the gateway's contract and one executor's order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from algorithms.api.conversation import End, Line
from flow.job.binding import BoundTask
from flow.job.references import OutputInput, Reference
from flow.protocol.manifest import task_seed
from flow.protocol.messages import Manifest
from flow.protocol.resuming import resume_point
from gateway.client import ContractLine, JobContract
from node_manager.client import Input, Order, Resources, ResumePoint
from party.ids import Address, AttemptId


@dataclass(frozen=True, repr=False)
class Launch:
    """What an executor of this party runs against: its gateway's local door, the party's store, its own token.

    `resume` is what an earlier attempt left, where the attempt goes on from that.
    """

    gateway: str
    store: str
    token: str
    incarnation: int
    resume: ResumePoint | None = None


def contract_for(manifest: Manifest, tasks: Mapping[str, BoundTask], party: str) -> JobContract:
    """What may pass this party's door for a job: the declared conversations, roles written out as addresses.

    `tasks` are settled.
    """
    lines: dict[str, tuple[ContractLine, ...]] = {}
    for task in tasks.values():
        if own := [address for address in task.sides if address.party == party]:
            lines[task.name] = lines_for(task, own)
    return JobContract(job=manifest.proposal.job, manifest_digest=manifest.digest, tasks=lines)


def lines_for(task: BoundTask, addresses: Iterable[Address]) -> tuple[ContractLine, ...]:
    """What is said in a task that is settled, on the terms of these addresses."""
    found: dict[ContractLine, None] = {}
    for address in addresses:
        for line in task.component.conversation(task.terms_of(task.sides[address])):
            found.update(dict.fromkeys(_expanded(line, task)))
    return tuple(found)


def resources_for(task: BoundTask, address: Address) -> Resources:
    """What the executor of an address needs."""
    wanted = task.sides[address].resources
    return Resources(cores=wanted.cores, memory_bytes=wanted.memory_bytes, gpus=wanted.gpus)


def order_for(manifest: Manifest, task: BoundTask, address: Address, attempt_id: AttemptId, launch: Launch) -> Order:
    """Everything the executor of an address needs for an attempt of a task that is settled."""
    side = task.sides[address]
    parameters: dict[str, Any] = side.parameters
    return Order(
        job=attempt_id.job,
        task=attempt_id.task,
        attempt=attempt_id.attempt,
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
        resume=launch.resume or resume_point(manifest, task),
        models=dict(task.models),
        rows={name: {str(at): count for at, count in counts.items()} for name, counts in (task.rows or {}).items()},
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


def _expanded(line: Line, task: BoundTask) -> Iterator[ContractLine]:
    """A line with roles written out as addresses; one for each sender or receiver whose own key it is about."""
    frm, to, owners = (
        frozenset(str(address) for address in task.addresses if address.role in roles)
        for roles in (line.frm, line.to, line.key_roles)
    )
    whole = ContractLine(
        tag=line.tag,
        frm=frm,
        to=to,
        kind=str(line.kind),
        max_bytes=line.most_bytes(task.rows or {}),
        protection=str(line.protection),
        key_owners=None if line.key_of is None else owners,
    )
    if line.key_of is End.SENDER:
        yield from (replace(whole, frm=frozenset({one}), key_owners=frozenset({one})) for one in sorted(frm))
    elif line.key_of is End.RECEIVER:
        yield from (replace(whole, to=frozenset({one}), key_owners=frozenset({one})) for one in sorted(to))
    else:
        yield whole
