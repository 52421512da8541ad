"""What a person of this party sees of a proposed job before agreeing to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticUndefined, to_jsonable_python

from algorithms.component import Line, PortKind, Protection
from flow.agreement import Decided, Knowledge, earlier_name, warnings
from flow.bindings import BoundTask, bind
from flow.inputs import OutputInput
from flow.job_spec import JobSpec
from flow.messages import Proposal
from flow.policy import ModelFacts, TableFacts
from flow.views import Learning, ProposalView, ProposedInput, ProposedLine, ProposedParameter
from party.ids import Address, Role

MEANINGS = {
    Protection.PLAIN_SCALAR: "single numbers, which the receiver reads",
    Protection.PLAIN: "the receiver reads it",
    Protection.MASKED: "the receiver reads only the sum of all",
    Protection.ENCRYPTED: "the receiver cannot read it: it computes with encrypted numbers",
    Protection.AGGREGATE_SEALED: "sealed: only the receiver reads it",
}
UNSAID = "The component does not say."


def shown(proposal: Proposal, spec: JobSpec, know: Knowledge, decided: Decided, *, waits: bool) -> ProposalView:
    """Everything that the decision is about. `decided` is what would be said now if a person agreed."""
    tasks, problems = bind(spec, know.components)
    known = {} if problems else tasks
    return ProposalView(
        job=proposal.job,
        name=spec.name,
        initiator=proposal.initiator,
        user=proposal.user,
        submitted_ms=proposal.submitted_ms,
        party=know.party,
        roles={str(role): tuple(parties) for role, parties in spec.roles.items()},
        components={name: task.component for name, task in spec.tasks.items()},
        waits=waits,
        resumes=spec.settings.resume or "",
        inputs=tuple(item for task in known.values() for item in _inputs(task, know)),
        parameters=tuple(item for task in known.values() for item in _parameters(task)),
        conversation=tuple(item for task in known.values() for item in _conversation(task, know.party)),
        learns=tuple(item for task in known.values() for item in _learns(task)),
        warnings=tuple(warnings(known)),
        reasons=decided.reasons,
    )


def _inputs(task: BoundTask, know: Knowledge) -> Iterator[ProposedInput]:
    for address, side in task.sides.items():
        for name, reference in side.inputs.items() if address.party == know.party else ():
            kind = task.component.inputs[name].kind
            place = {"task": task.name, "address": str(address), "input": name, "kind": str(kind)}
            if isinstance(reference, OutputInput) and reference.job is None:
                continue  # made by this job
            key = earlier_name(reference, is_table=kind is PortKind.TABLE)
            facts = (know.tables if kind is PortKind.TABLE else know.models)[key]
            if isinstance(facts, TableFacts):
                what = {"reference": facts.reference, "rows": facts.rows, **_whence(facts)}
                yield ProposedInput(**place, name=str(reference), **what)
            elif isinstance(facts, ModelFacts):
                what = {"reference": facts.reference, "holders": tuple(sorted(facts.holders)), **_whence(facts)}
                yield ProposedInput(**place, name=str(reference), **what)
            else:
                yield ProposedInput(**place, name=str(reference), problem=f"{facts.message} {facts.hint}".rstrip())


def _whence(facts: TableFacts | ModelFacts) -> dict[str, Any]:
    return {"owner": facts.owner, "made_of": tuple(source.reference for source in facts.made_of)}


def _parameters(task: BoundTask) -> Iterator[ProposedParameter]:
    for name, field in task.component.parameters.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        usual = None if default is PydanticUndefined else to_jsonable_python(default)
        values = {address: side.parameters.get(name) for address, side in task.sides.items()}
        others = {address: value for address, value in values.items() if value != usual}
        if others and len(others) == len(values) and len({repr(value) for value in others.values()}) == 1:
            yield ProposedParameter(task=task.name, name=name, value=next(iter(others.values())), default=usual)
            continue
        for address, value in others.items():
            yield ProposedParameter(task=task.name, name=name, value=value, default=usual, address=str(address))


def _conversation(task: BoundTask, party: str) -> Iterator[ProposedLine]:
    found: dict[Line, None] = {}
    for side in task.sides.values():
        parameters = task.component.parameters.model_validate(side.parameters)
        found.update(dict.fromkeys(task.component.conversation(parameters)))
    for line in found:
        senders, receivers = (_addresses(task, roles) for roles in (line.frm, line.to))
        if not senders or not receivers:
            continue
        does = [
            verb
            for verb, side in (("send", senders), ("receive", receivers))
            if any(Address.parse(address).party == party for address in side)
        ]
        yield ProposedLine(
            task=task.name,
            tag=line.tag,
            says=line.says,
            senders=senders,
            receivers=receivers,
            protection=str(line.protection),
            means=MEANINGS[line.protection],
            we="both" if len(does) > 1 else "".join(does),
        )


def _learns(task: BoundTask) -> Iterator[Learning]:
    """By role; where the sides' parameters tell several things, all of them."""
    said: dict[Role, dict[str, None]] = {}
    learns = task.component.learns or (lambda _: {})
    for side in task.sides.values():
        for role, text in learns(task.component.parameters.model_validate(side.parameters)).items():
            said.setdefault(role, {})[text] = None
    for role in sorted({address.role for address in task.addresses}):
        parties = tuple(address.party for address in task.addresses if address.role is role)
        yield Learning(task=task.name, role=str(role), parties=parties, says=" ".join(said.get(role, {UNSAID: None})))


def _addresses(task: BoundTask, roles: frozenset[Role]) -> tuple[str, ...]:
    return tuple(str(address) for address in task.addresses if address.role in roles)
