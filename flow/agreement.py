"""A party's decision about a proposed job. Pure: what store and registry know is looked up before and passed in.

An answer that refuses carries every reason, so that the initiator can mend all of them at once; but a party that the
policy excludes is told that, and nothing else: that is asked first, before anything of the job is worked out. No answer
but an error: a proposal by a party that is not its initiator, one whose digests do not fit, and one that is too large.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flow.bindings import BoundJob, BoundTask
from flow.errors import BadMessage, NotInitiator
from flow.exposure import remedy, trainers, weakest, who_sees
from flow.inherited import excluded, inherited
from flow.inputs import OutputInput, TableInput
from flow.job_spec import MAX_JOB_BYTES, JobSpec, own_rules
from flow.lineage import gathered, own_inputs
from flow.manifest import proposal_digest
from flow.messages import Answer, Decision, KeptSteps, Proposal
from flow.policy import ModelFacts, Policy, Source, TableFacts, allowed, component_allowed, withheld
from flow.reasons import Decided, Reason
from flow.texts import sentences
from party.canonical import canonical_json
from party.errors import PlatformError

SAFE_TRAINERS = 3
MAX_DOCUMENT_BYTES = 2 * MAX_JOB_BYTES  # of a job with its defaults written out
_NAMED_TASKS = 5


@dataclass(frozen=True)
class Knowledge:
    """What the deciding party knows.

    Attributes:
        party, policy, now: Who decides, by which rules, when.
        tables: For each table text that the job names for this party: what it is, or why it is not there. Once a
            task starts, also for each table that it reads of a task before it (`task.output`).
        models: For each output of an earlier job (`job/task.output`) that this party must hold: what it is, or why
            it is not there.
        checkpoints: What it holds of the jobs that this one goes on from.
        resumed: For each task that may go on from checkpoints: what they were made of, or that it is not known.
        room: For each task that its hosts can never bear: why.
        strangers: The parties of the job that are not trusted here.
    """

    party: str
    policy: Policy
    now: datetime
    tables: Mapping[str, TableFacts | PlatformError]
    models: Mapping[str, ModelFacts | PlatformError]
    checkpoints: tuple[KeptSteps, ...] = ()
    room: Mapping[str, str] = field(default_factory=dict)
    resumed: Mapping[str, tuple[Source, ...] | PlatformError] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()


def wanted(tasks: Mapping[str, BoundTask], party: str) -> tuple[set[str], set[str]]:
    """The tables (as the job names them) and the earlier models that a party has to look up before it decides."""
    tables: set[str] = set()
    models: set[str] = set()
    for task in tasks.values():
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == party else ():
                if isinstance(reference, TableInput):
                    tables.add(reference.name)
                elif reference.job is not None:
                    is_table = task.component.inputs[name].kind == "table"
                    (tables if is_table else models).add(earlier_name(reference, is_table=is_table))
    return tables, models


def check_proposal(proposal: Proposal, caller: str, spec: JobSpec, party: str) -> None:
    """Raise unless the proposal is what it says it is.

    Raises:
        NotInitiator: The caller is not the job's initiator.
        BadMessage: A digest does not fit, the party has no role, or the job is larger than a job may be.
    """
    if not caller == proposal.initiator == spec.initiator:
        raise NotInitiator(f"{caller} proposes job {proposal.job}, whose initiator is {spec.initiator}.")
    if spec.digest() != proposal.spec_digest:
        raise BadMessage(f"The digest of job {proposal.job} does not fit its document.")
    if party not in spec.parties:
        raise BadMessage(f"{party} holds no role in job {proposal.job}.")
    if len(canonical_json(proposal.spec)) > MAX_DOCUMENT_BYTES:
        raise BadMessage(f"The document of job {proposal.job} is larger than {MAX_DOCUMENT_BYTES} bytes.")
    for problem in own_rules(spec):
        raise BadMessage(f"{problem.path}: {problem.message}", hint=problem.hint)


def outsider(proposal: Proposal, spec: JobSpec, party: str, policy: Policy, strangers: Iterable[str]) -> Decided | None:
    """The party's answer if it takes no part in such a job whatever it does; needs nothing but the names in it.

    `strangers` are the parties of the job that are not trusted here: no message would reach them.
    """
    reasons = _peers(spec, party, policy)
    if not reasons and policy.accept is Decision.REFUSE:
        reasons = [Reason(f"The policy of {party} refuses every job.")]
    if not reasons:
        reasons = [_stranger(other, party) for other in strangers]
    if not reasons:
        return None
    answer = Answer(
        job=proposal.job,
        party=party,
        proposal_digest=proposal_digest(proposal),
        decision=Decision.REFUSE,
        reasons=sentences(reason.told for reason in reasons),
        share=policy.share,
    )
    return Decided(answer, tuple(reasons))


def decide(proposal: Proposal, job: BoundJob, know: Knowledge) -> Decided:
    """The party's answer to a proposal that passed `check_proposal`.

    Only an answer that agrees says which table versions and checkpoints this party brings.
    """
    outside = outsider(proposal, job.spec, know.party, know.policy, know.strangers)
    if outside is not None:
        return outside
    tasks = job.tasks
    if job.problems:
        reasons = [Reason(p.message, f"{p.message} {p.hint}".rstrip()).at(p.path) for p in job.problems]
    else:
        reasons = [
            *_code(proposal, tasks),
            *review(job.spec, tasks, know),
            *of_others(proposal, tasks, know),
            *lacking(know),
        ]
    decision = Decision.REFUSE if reasons else know.policy.accept
    agrees, asks = decision is Decision.AGREE, decision is Decision.ASK
    answer = Answer(
        job=proposal.job,
        party=know.party,
        proposal_digest=proposal_digest(proposal),
        decision=decision,
        reasons=sentences(reason.told for reason in reasons),
        warnings=sentences(warnings(tasks)) if agrees or asks else (),
        tables=_tables(tasks, know) if agrees else {},
        share=know.policy.share,
        checkpoints=know.checkpoints if agrees else (),
    )
    return Decided(answer, tuple(reasons))


def review(spec: JobSpec, tasks: Mapping[str, BoundTask], know: Knowledge) -> list[Reason]:
    """Why these tasks of a job may not run here, by the policies of the party, its tables and its models."""
    reasons = [*_peers(spec, know.party, know.policy), *_rules(tasks, know)]
    seeing = who_sees(tasks)
    made_of = gathered(tasks, know.party, lambda task: _brought(task, know))
    for task in tasks.values():
        reasons += [reason.at(f"tasks.{task.name}") for reason in _resumed(task, spec, know)]
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == know.party else ():
                path = f"tasks.{task.name}.inputs.{name}"
                if isinstance(reference, OutputInput) and reference.job is None:
                    found = _made_before(reference, made_of.get(reference.task, ()), task, spec, know)
                elif task.component.inputs[name].kind == "table":
                    facts = know.tables[earlier_name(reference, is_table=True)]
                    found = _table(str(reference), facts, task, spec, know)
                else:
                    model = know.models[earlier_name(reference, is_table=False)]
                    found = _model(str(reference), model, task, spec, seeing, know)
                reasons += [reason.at(path) for reason in found]
    return reasons


def warnings(tasks: Mapping[str, BoundTask]) -> list[str]:
    """What every party should think of before it agrees, each thing once."""
    few: dict[int, list[str]] = {}
    for task in tasks.values():
        if 0 < (count := trainers(task)) < SAFE_TRAINERS:
            few.setdefault(count, []).append(f"tasks.{task.name}")
    return [
        f"{_listed(names)}: with {count} trainers a sum reveals the other's update to each of them; "
        f"{SAFE_TRAINERS} or more are safer."
        for count, names in few.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_TASKS
    return ", ".join(names[:_NAMED_TASKS]) + (f" and {more} more" if more > 0 else "")


def _peers(spec: JobSpec, party: str, policy: Policy) -> list[Reason]:
    return [
        Reason(f"The policy of {party} does not allow jobs with {other}.")
        for other in spec.parties
        if other != party and not allowed(other, policy.peers)
    ]


def _stranger(other: str, party: str) -> Reason:
    said = f"{party} does not trust {other}, a party of this job."
    return Reason(said, f"{said} Its card is added with `flow party trust CARD`; the job is then submitted again.")


def _code(proposal: Proposal, tasks: Mapping[str, BoundTask]) -> Iterator[Reason]:
    for component in {task.component.reference: task.component for task in tasks.values()}.values():
        theirs = proposal.code.get(component.reference, "")
        if theirs != component.code_digest:
            said = f"{component.reference} has other code here{{}} than at {proposal.initiator}{{}}."
            hint = "Bring both parties to the same release."
            digests = (f" ({component.code_digest[:12]})", f" ({theirs[:12] or 'none'})")
            yield Reason(f"{said.format('', '')} {hint}", f"{said.format(*digests)} {hint}")


def of_others(proposal: Proposal, tasks: Mapping[str, BoundTask], know: Knowledge) -> Iterator[Reason]:
    """What a job of one of our own users would read that belongs to another: a newer version may since it was sent."""
    tables, models = wanted(tasks, know.party) if proposal.initiator == know.party else ((), ())
    for name, facts in (*((t, know.tables[t]) for t in sorted(tables)), *((m, know.models[m]) for m in sorted(models))):
        of = None if isinstance(facts, PlatformError) else withheld(proposal.user, (facts.source, *facts.made_of))
        if of is not None:
            yield Reason(
                f"{know.party} does not let this job use {name}.",
                f"{of.reference} belongs to {of.owner}, not to {proposal.user}, who submitted the job.",
            )


def lacking(know: Knowledge) -> Iterator[Reason]:
    """For which tasks our hosts have no room: it comes and goes with them, whatever was proposed."""
    for task, why in know.room.items():
        yield Reason(f"{why} at {know.party}. Ask for less.").at(f"tasks.{task}.resources")


def _rules(tasks: Mapping[str, BoundTask], know: Knowledge) -> Iterator[Reason]:
    policy = know.policy
    for task in tasks.values():
        reference, count = task.component.reference, trainers(task)
        if not component_allowed(task.component, policy.components):
            yield Reason(f"The policy of {know.party} does not allow the component {reference}.")
        if count and count < policy.min_trainers:
            said = f"the policy of {know.party} asks for {policy.min_trainers} trainers, the job has {count}."
            yield Reason(said).at(f"tasks.{task.name}")
        least, has = policy.protection_of(task.component), weakest(task)
        if has is not None and has.strength < least.strength:
            said = (
                f"the policy of {know.party} asks for '{least}' protection or better of what {reference} sends, "
                f"the job has '{has}'."
            )
            if (better := remedy(task, least)) is not None:
                said += f" Set tasks.{task.name}.parameters.{better[0]} to {json.dumps(better[1])}."
            yield Reason(said).at(f"tasks.{task.name}")


def _table(
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
        if not allowed(other, facts.peers)
    ]
    strangers += excluded(f"table {name} of {party}", facts.made_of, others, absent)
    if strangers:
        yield from strangers
        return
    if not component_allowed(task.component, facts.components):
        yield Reason(f"table {name} of {party} may not be used by {reference}.")
    if facts.expires is not None and facts.expires <= know.now:
        yield Reason(
            f"{party} no longer lets table {name} be used.",
            f"the permission to use table {facts.reference} ended on {facts.expires:%Y-%m-%d}.",
        )
    least = max(facts.least_rows, know.policy.min_rows)
    if facts.rows < least:
        yield Reason(
            f"table {name} of {party} has fewer rows than its policy asks for.",
            f"table {facts.reference} has {facts.rows} rows, the policy of {party} asks for {least}.",
        )
    yield from inherited(f"table {name} of {party}", facts.made_of, task.component, know.now)


def _made_before(
    reference: OutputInput, sources: Iterable[Source], task: BoundTask, spec: JobSpec, know: Knowledge
) -> Iterator[Reason]:
    """Why a task may not use what one before it makes; where it is made already, by what it has become too."""
    facts = know.tables.get(str(reference))
    if facts is not None and not (isinstance(facts, TableFacts) and not facts.rows):  # an empty table tells of nobody
        yield from _table(str(reference), facts, task, spec, know)
        return
    yield from inherited(f"{reference} of {know.party}", sources, task.component, know.now)


def _brought(task: BoundTask, know: Knowledge) -> Iterator[Source]:
    """What a task is made of here that no other task of its job makes: tables, earlier models, and their sources."""
    resumed = know.resumed.get(task.name, ())
    yield from () if isinstance(resumed, PlatformError) else resumed
    for _, _, read, is_table in own_inputs(task, know.party):
        if isinstance(read, TableInput) or read.job is not None:
            found = (know.tables if is_table else know.models)[earlier_name(read, is_table=is_table)]
            yield from () if isinstance(found, PlatformError) else (found.source, *found.made_of)


def _resumed(task: BoundTask, spec: JobSpec, know: Knowledge) -> Iterator[Reason]:
    """Why a task may not go on from checkpoints."""
    sources, what = know.resumed.get(task.name, ()), f"what {know.party} has of the job to go on from"
    absent = f"{know.party} has nothing of the job to go on from for this job."
    if isinstance(sources, PlatformError):
        yield Reason(absent, f"{sources.message} {sources.hint}".rstrip())
        return
    strangers = excluded(what, sources, _others(spec, know), absent)
    yield from strangers or inherited(what, sources, task.component, know.now)


def _others(spec: JobSpec, know: Knowledge) -> list[str]:
    return [party for party in spec.parties if party != know.party]


def _model(
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
    hidden = excluded(f"{name} of {party}", facts.made_of, _others(spec, know), f"{party} holds no part of {name}.")
    if hidden:
        yield from hidden
        return
    for other in _strangers(spec, seeing, facts, know):
        yield Reason(
            f"{party} does not let this job use {name}: {other} holds no part of it.",
            f"{other} holds no part of {name} and would learn of it. "
            f"To let it: 'flow model policy {facts.reference} --peers {other}'.",
        )
    if not component_allowed(task.component, facts.components):
        yield Reason(f"{name} of {party} may not be used by {task.component.reference}.")
    if facts.expires is not None and facts.expires <= know.now:
        yield Reason(
            f"{party} no longer lets {name} be used.",
            f"the permission to use model {facts.reference} ended on {facts.expires:%Y-%m-%d}.",
        )
    yield from inherited(f"{name} of {party}", facts.made_of, task.component, know.now)


def _strangers(spec: JobSpec, seeing: Collection[str], facts: ModelFacts, know: Knowledge) -> list[str]:
    """The parties of a job that would get to see something of a model which they neither hold nor were granted."""
    return [
        other
        for other in spec.parties
        if other != know.party and other in seeing and other not in facts.holders and not allowed(other, facts.peers)
    ]


def _tables(tasks: Mapping[str, BoundTask], know: Knowledge) -> dict[str, dict[str, dict[str, str]]]:
    """The exact version of each table that this party brings, by task, address and input."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for task in tasks.values():
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == know.party else ():
                is_earlier = isinstance(reference, TableInput) or reference.job is not None
                if not is_earlier or task.component.inputs[name].kind != "table":
                    continue
                facts = know.tables[earlier_name(reference, is_table=True)]
                if isinstance(facts, TableFacts):
                    found.setdefault(task.name, {}).setdefault(str(address), {})[name] = facts.reference
    return found


def earlier_name(reference: TableInput | OutputInput, *, is_table: bool) -> str:
    """What a table, or an output of an earlier job, is called in the party's store."""
    if isinstance(reference, TableInput):
        return reference.name
    return reference.table(reference.job or "") if is_table else reference.model(reference.job or "")
