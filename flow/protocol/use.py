"""Why a task may not use what it is given at this party: a table, a model, checkpoints to go on from. Pure.

What was made of tables and models of this party is held to the rules of all those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from algorithms.api.component import Component
from algorithms.api.ports import Columns, Port
from flow.job.binding import BoundTask
from flow.job.references import OutputInput, TableInput
from flow.job.spec import JobSpec
from flow.protocol.knowledge import Knowledge, earlier_name
from flow.protocol.lineage import own_inputs
from flow.protocol.policy import ModelFacts, Source, TableFacts, allowed, component_allowed
from flow.protocol.reasons import Reason
from party.ids import Role
from runtime.errors import PlatformError


def use_of_table(
    name: str, facts: TableFacts | PlatformError, task: BoundTask, spec: JobSpec, know: Knowledge
) -> Iterator[Reason]:
    """Why a task may not use a table. To a party that it may not be used with, it is as if it were not there."""
    party, reference = know.party, task.component.reference
    absent = f"{party} has no table {name} for this job."
    if isinstance(facts, PlatformError):
        yield Reason(absent, f"{facts.message} {facts.hint}".rstrip())
        return
    others = _others(spec, know)
    strangers = [
        Reason(absent, f"table {facts.reference} may not be used with {other}.")
        for other in others
        if not allowed(other, facts.use.peers)
    ]
    strangers += _excluded(f"table {name} of {party}", facts.made_of, others, absent)
    if strangers:
        yield from strangers
        return
    if not component_allowed(task.component, facts.use.components):
        yield Reason(f"table {name} of {party} may not be used by {reference}.")
    if facts.use.expires is not None and facts.use.expires <= know.now:
        yield Reason(
            f"{party} no longer lets table {name} be used.",
            f"the permission to use table {facts.reference} ended on {facts.use.expires:%Y-%m-%d}.",
        )
    least = max(facts.least_rows, know.policy.min_rows)
    if facts.rows < least:
        yield Reason(
            f"table {name} of {party} has fewer rows than its policy asks for.",
            f"table {facts.reference} has {facts.rows} rows, the policy of {party} asks for {least}.",
        )
    yield from _inherited(f"table {name} of {party}", facts.made_of, task.component, know.now)


def use_of_made(
    reference: OutputInput, sources: Iterable[Source], task: BoundTask, spec: JobSpec, know: Knowledge
) -> Iterator[Reason]:
    """Why a task may not use what one before it makes; where it is made already, by what it has become too."""
    facts = know.tables.get(str(reference))
    if facts is not None and not (isinstance(facts, TableFacts) and not facts.rows):  # an empty table tells of nobody
        yield from use_of_table(str(reference), facts, task, spec, know)
        return
    yield from _inherited(f"{reference} of {know.party}", sources, task.component, know.now)


def brought(task: BoundTask, know: Knowledge) -> Iterator[Source]:
    """What a task is made of here that no other task of its job makes: tables, earlier models, and their sources."""
    resumed = know.resumed.get(task.name, ())
    yield from () if isinstance(resumed, PlatformError) else resumed
    for _, _, read, is_table in own_inputs(task, know.party):
        if isinstance(read, TableInput) or read.job is not None:
            found = (know.tables if is_table else know.models)[earlier_name(read, is_table=is_table)]
            yield from () if isinstance(found, PlatformError) else (found.source, *found.made_of)


def use_of_checkpoints(task: BoundTask, spec: JobSpec, know: Knowledge) -> Iterator[Reason]:
    """Why a task may not go on from checkpoints."""
    sources, what = know.resumed.get(task.name, ()), f"what {know.party} has of the job to go on from"
    absent = f"{know.party} has nothing of the job to go on from for this job."
    if isinstance(sources, PlatformError):
        yield Reason(absent, f"{sources.message} {sources.hint}".rstrip())
        return
    strangers = _excluded(what, sources, _others(spec, know), absent)
    yield from strangers or _inherited(what, sources, task.component, know.now)


def _others(spec: JobSpec, know: Knowledge) -> list[str]:
    return [party for party in spec.parties if party != know.party]


def use_of_model(
    name: str,
    facts: ModelFacts | PlatformError,
    task: BoundTask,
    spec: JobSpec,
    seeing: Collection[str],
    know: Knowledge,
) -> Iterator[Reason]:
    """Why a task may not use a model of an earlier job."""
    party = know.party
    if isinstance(facts, PlatformError):
        yield Reason(f"{party} holds no part of {name}.", f"{facts.message} {facts.hint}".rstrip())
        return
    hidden = _excluded(f"{name} of {party}", facts.made_of, _others(spec, know), f"{party} holds no part of {name}.")
    if hidden:
        yield from hidden
        return
    for other in _strangers(spec, seeing, facts, know):
        yield Reason(
            f"{party} does not let this job use {name}: {other} holds no part of it.",
            f"{other} holds no part of {name} and would learn of it. "
            f"To let it: 'flow model policy {facts.reference} --peers {other}'.",
        )
    if not component_allowed(task.component, facts.use.components):
        yield Reason(f"{name} of {party} may not be used by {task.component.reference}.")
    if facts.use.expires is not None and facts.use.expires <= know.now:
        yield Reason(
            f"{party} no longer lets {name} be used.",
            f"the permission to use model {facts.reference} ended on {facts.use.expires:%Y-%m-%d}.",
        )
    yield from _inherited(f"{name} of {party}", facts.made_of, task.component, know.now)


def unfit(name: str, facts: TableFacts | ModelFacts | PlatformError | None, port: Port, role: Role) -> Iterator[Reason]:
    """Why a table or a model is none for an input of a role."""
    if isinstance(facts, ModelFacts) and facts.kind and port.models and facts.kind not in port.models:
        yield Reason(f"this input takes a model of kind {' or '.join(port.models)}, {name} is of kind {facts.kind}.")
    if isinstance(facts, TableFacts):
        for problem in port.columns.get(role, Columns()).unfit(facts.roles):
            hint = "Columns get their roles when a table is uploaded: `flow data upload` with --label, --weight, --id."
            yield Reason(f"table {name} has {problem} by {role} here. {hint}")


def _strangers(spec: JobSpec, seeing: Collection[str], facts: ModelFacts, know: Knowledge) -> list[str]:
    """The parties of a job that would get to see something of a model which they neither hold nor were granted."""
    return [
        other
        for other in spec.parties
        if other != know.party
        and other in seeing
        and other not in facts.holders
        and not allowed(other, facts.use.peers)
    ]


def _excluded(name: str, sources: Iterable[Source], parties: Iterable[str], absent: str) -> list[Reason]:
    """Why something is not used with these other parties; to them it is as if it were not there: `absent`."""
    others = tuple(parties)
    return [
        Reason(absent, f"{name} was made of {source.reference}, which may not be used with {other}.")
        for source in sources
        for other in others
        if not allowed(other, source.use.peers)
    ]


def _inherited(name: str, sources: Iterable[Source], component: Component, now: datetime) -> Iterator[Reason]:
    """Why a component may not use something now: what it was made of may not be used by it, or no longer."""
    for source in sources:
        if not component_allowed(component, source.use.components):
            by = f"may not be used by {component.reference}"
            table, is_table, _ = source.reference.partition("@")
            rules = f"'flow {'data' if is_table else 'model'} policy {table}' says by what"
            yield Reason(
                f"{name} {by}.", f"{name} was made of {source.reference}, which {by}, nor what is made of it; {rules}."
            )
        if source.use.expires is not None and source.use.expires <= now:
            yield Reason(
                f"{name} may no longer be used.",
                f"{name} was made of {source.reference}, and the permission to use that ended on "
                f"{source.use.expires:%Y-%m-%d}.",
            )
