"""What a person of this party sees of a proposed job before agreeing to it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from algorithms.api.conversation import End, Line, Protection
from algorithms.api.ports import PortKind
from flow.job.binding import BoundJob, BoundTask
from flow.job.references import OutputInput
from flow.job.row_counts import Place, told_places
from flow.protocol.agreement import lacking, warnings
from flow.protocol.knowledge import Knowledge, earlier_name, with_own_models
from flow.protocol.manifest import proposal_digest
from flow.protocol.messages import Proposal
from flow.protocol.policy import ModelFacts, TableFacts
from flow.protocol.reasons import Decided
from flow.views.jobs import Learning, ProposalView, ProposedInput, ProposedLine, ProposedParameter
from party.ids import Address, PartyId, Role
from runtime.canonical import canonical_digest, canonical_json
from runtime.errors import PlatformError

MEANINGS = {
    Protection.PLAIN_SCALAR: "single numbers, which the receiver reads",
    Protection.PLAIN: "the receiver reads it",
    Protection.MASKED: "the receiver reads only the sum of all",
    Protection.ENCRYPTED: "the receiver cannot read it: it computes with encrypted numbers",
    Protection.AGGREGATE_SEALED: "sealed: only the receiver reads it",
}
UNSAID = "The component does not say."
MOST_SHOWN = 1_000  # of each kind
MOST_NAMED = 100  # addresses in one line

T = TypeVar("T")


def proposal_view(proposal: Proposal, job: BoundJob, know: Knowledge, decided: Decided, *, waits: bool) -> ProposalView:
    """Everything that the decision is about. `decided` is what would be said now if a person agreed."""
    spec, known = job.spec, {} if job.problems else with_own_models(job.tasks, know)
    tasks, told, cut = known.values(), told_places(known), list[str]()
    view = ProposalView(
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
        inputs=first("inputs of ours", cut, (item for task in tasks for item in _inputs(task, know, told))),
        parameters=first("parameters", cut, (item for task in tasks for item in _parameters(task))),
        conversation=first("messages", cut, (item for task in tasks for item in conversation(task, know.party))),
        learns=first("who learns what", cut, (item for task in tasks for item in learned(task))),
        warnings=tuple(warnings(known)),
        reasons=decided.reasons,
    )
    not_whole = tuple(f"Only the first {MOST_SHOWN} are shown of: {what}." for what in cut)
    view = view.model_copy(update={"warnings": (*not_whole, *view.warnings)})
    return view.model_copy(update={"digest": _digest(proposal, view, know)})


def _digest(proposal: Proposal, view: ProposalView, know: Knowledge) -> str:
    """Of what is proposed, what a person is shown of it and our rules for it; not of room, which comes and goes."""
    seen = json.loads(view.model_dump_json(exclude={"waits", "digest", "by", "note"}))
    room = {reason.full for reason in lacking(know)}
    seen["reasons"] = [reason for reason in view.reasons if reason not in room]
    return canonical_digest({"proposal": proposal_digest(proposal), "shown": seen, "rules": _rules(know)})


def _rules(know: Knowledge) -> Any:
    """By what we decide: our policy, and what is known of all that the job would read of ours."""
    policy = _plain(know.policy.model_dump(exclude={"accept"}))  # a person decides
    return {"policy": policy, "read": [_plain(facts) for facts in (know.tables, know.models, know.resumed)]}


def _plain(value: Any) -> Any:
    """A rule as a JSON value: one spelling of what means the same."""
    if isinstance(value, PlatformError):
        return value.code
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | frozenset):
        return sorted((_plain(item) for item in value), key=canonical_json)
    return value.isoformat() if isinstance(value, datetime) else value


def first(what: str, cut: list[str], items: Iterator[T]) -> tuple[T, ...]:
    """As many as a person may be shown; where there are more, `cut` is told."""
    found = tuple(islice(items, MOST_SHOWN))
    if next(items, None) is not None:
        cut.append(what)
    return found


def _inputs(task: BoundTask, know: Knowledge, told: frozenset[Place]) -> Iterator[ProposedInput]:
    for address, side in task.sides.items():
        for name, reference in side.inputs.items() if address.party == know.party else ():
            kind = task.component.inputs[name].kind
            place = {"task": task.name, "address": str(address), "input": name, "kind": str(kind)}
            if isinstance(reference, OutputInput) and reference.job is None:
                continue  # made by this job
            key = earlier_name(reference, is_table=kind is PortKind.TABLE)
            facts = (know.tables if kind is PortKind.TABLE else know.models)[key]
            if isinstance(facts, TableFacts):
                tells = (task.name, address, name) in told
                what = {"reference": facts.reference, "rows": facts.rows, "roles": facts.roles, **_whence(facts)}
                yield ProposedInput(**place, name=str(reference), tells_rows=tells, **what)
            elif isinstance(facts, ModelFacts):
                what = {"reference": facts.reference, "holders": tuple(sorted(facts.holders)), **_whence(facts)}
                yield ProposedInput(**place, name=str(reference), **what)
            else:
                yield ProposedInput(**place, name=str(reference), problem=f"{facts.message} {facts.hint}".rstrip())


def _whence(facts: TableFacts | ModelFacts) -> dict[str, Any]:
    return {"owner": facts.owner, "made_of": tuple(source.reference for source in facts.made_of)}


def _parameters(task: BoundTask) -> Iterator[ProposedParameter]:
    usual = _leaves({name: _default(field) for name, field in task.component.parameters.model_fields.items()})
    sides = {id(side): _leaves(side.parameters) for side in task.sides.values()}
    for name in dict.fromkeys(name for leaves in sides.values() for name in leaves):
        said = {place: leaves.get(name) for place, leaves in sides.items()}
        if all(value == usual.get(name) for value in said.values()):
            continue
        shown = {"task": task.name, "name": name, "default": usual.get(name)}
        if len({repr(value) for value in said.values()}) == 1:
            yield ProposedParameter(**shown, value=next(iter(said.values())))
            continue
        for address, side in task.sides.items():
            if said[id(side)] != usual.get(name):
                yield ProposedParameter(**shown, value=said[id(side)], address=str(address))


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    return None if default is PydanticUndefined else to_jsonable_python(default)


def _leaves(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values of groups by their paths: `local.learning_rate`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _leaves(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


def conversation(task: BoundTask, party: str) -> Iterator[ProposedLine]:
    """The lines of a task for people, with what a party does with each."""
    for line in task.lines:
        senders, receivers = (_named(task.parties, roles) for roles in (line.frm, line.to))
        if not senders or not receivers:
            continue
        ours = {role for role, parties in task.parties.items() if party in parties}
        does = [verb for verb, roles in (("send", line.frm), ("receive", line.to)) if ours & roles]
        yield ProposedLine(
            task=task.name,
            tag=line.tag,
            purpose=line.purpose,
            senders=senders,
            receivers=receivers,
            protection=str(line.protection),
            means=_means(line, task),
            max_bytes=task.most_bytes(line),
            we="both" if len(does) > 1 else "".join(does),
        )


def _means(line: Line, task: BoundTask) -> str:
    """The protection of a line in words: who has the key reads what is encrypted."""
    if line.key_of in (None, End.SENDER):
        return MEANINGS[line.protection]
    owners = "the receiver" if line.key_of is End.RECEIVER else ", ".join(_named(task.parties, line.key_roles))
    return f"only {owners} can read it, under whose key it is"


def learned(task: BoundTask) -> Iterator[Learning]:
    """By role; where the sides' parameters tell several things, all of them."""
    said: dict[Role, dict[str, None]] = {}
    for terms in task.terms:
        for role in task.parties:
            said.setdefault(role, {})[task.component.roles[role].learned(terms) or UNSAID] = None
    for role, parties in sorted(task.parties.items()):
        says = " ".join(said[role])
        yield Learning(task=task.name, role=str(role), parties=_some(parties), says=says)


def _named(parties: Mapping[Role, Sequence[str]], roles: frozenset[Role]) -> tuple[str, ...]:
    """The addresses of roles, by party."""
    some = [Address(PartyId(party), role) for role in parties if role in roles for party in parties[role]]
    return _some([str(address) for address in sorted(some)])


def _some(names: list[str]) -> tuple[str, ...]:
    """The first of many names; all parties of a job stand in its roles."""
    more = len(names) - MOST_NAMED
    return (*names[:MOST_NAMED], f"and {more} more") if more > 0 else tuple(names)
