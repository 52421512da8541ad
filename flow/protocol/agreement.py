"""A party's decision about a proposed job. Pure: what store and registry know is looked up before and passed in.

An answer that refuses carries every reason, so that the initiator can mend all of them at once; but a party that the
policy excludes is told that, and nothing else: that is asked first, before anything of the job is worked out. No answer
but an error: a proposal by a party that is not its initiator, one whose digests do not fit, and one that is too large.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from algorithms.api.ports import PortKind
from flow.errors import ApiMismatch, BadMessage, NotInitiator
from flow.job.binding import BoundJob, BoundTask
from flow.job.references import OutputInput, TableInput
from flow.job.row_counts import told_places
from flow.job.spec import MAX_JOB_BYTES, JobSpec, own_rules
from flow.job.texts import sentences
from flow.protocol.exposure import remedy, trainers, weakest, who_sees
from flow.protocol.knowledge import Knowledge, earlier_name, own_models, wanted, with_own_models
from flow.protocol.lineage import gathered
from flow.protocol.manifest import OUR_API, proposal_digest, require_common_api
from flow.protocol.messages import Answer, BroughtTable, Decision, Proposal
from flow.protocol.policy import ModelFacts, TableFacts, allowed, component_allowed, protection_of, withheld
from flow.protocol.reasons import Decided, Reason
from flow.protocol.use import brought, unfit, use_of_checkpoints, use_of_made, use_of_model, use_of_table
from party.settings import PolicySettings
from runtime.canonical import canonical_json
from runtime.errors import PlatformError

MAX_DOCUMENT_BYTES = 2 * MAX_JOB_BYTES  # of a job with its defaults written out
_NAMED_TASKS = 5


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


def outsider(
    proposal: Proposal, spec: JobSpec, party: str, policy: PolicySettings, strangers: Iterable[str]
) -> Decided | None:
    """The party's answer if it takes no part in such a job whatever it does; needs nothing but the names in it.

    `strangers` are the parties of the job that are not trusted here: no message would reach them.
    """
    reasons = _peers(spec, party, policy)
    if not reasons and Decision(policy.accept) is Decision.REFUSE:
        reasons = [Reason(f"The policy of {party} refuses every job.", by_policy=True)]
    if not reasons:
        reasons = [_stranger(other, party) for other in strangers]
    if not reasons:
        return None
    answer = Answer(
        job=proposal.job,
        party=party,
        proposal_digest=proposal_digest(proposal),
        api=OUR_API,
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
    tasks = {} if job.problems else with_own_models(job.tasks, know)
    reasons = list(_api(proposal, know.party))
    if not reasons and job.problems:
        reasons = [Reason(p.message, f"{p.message} {p.hint}".rstrip()).at(p.path) for p in job.problems]
    elif not reasons:
        reasons = [
            *_code(proposal, tasks),
            *review(job.spec, tasks, know),
            *of_others(proposal, tasks, know),
            *lacking(know),
        ]
    decision = Decision.REFUSE if reasons else Decision(know.policy.accept)
    agrees, asks = decision is Decision.AGREE, decision is Decision.ASK
    answer = Answer(
        job=proposal.job,
        party=know.party,
        proposal_digest=proposal_digest(proposal),
        api=OUR_API,
        decision=decision,
        reasons=sentences(reason.told for reason in reasons),
        warnings=sentences(warnings(tasks)) if agrees or asks else (),
        tables=_tables(tasks, know) if agrees else {},
        models=own_models(tasks, know) if agrees else {},
        share=know.policy.share,
        checkpoints=know.checkpoints if agrees else (),
    )
    return Decided(answer, tuple(reasons))


def review(spec: JobSpec, tasks: Mapping[str, BoundTask], know: Knowledge) -> list[Reason]:
    """Why these tasks of a job may not run here, by the policies of the party, its tables and its models."""
    reasons = [*_peers(spec, know.party, know.policy), *_rules(tasks, know)]
    seeing = who_sees(tasks) | ({spec.initiator} if know.policy.share else set())
    made_of = gathered(tasks, know.party, lambda task: brought(task, know))
    for task in tasks.values():
        reasons += [reason.at(f"tasks.{task.name}") for reason in use_of_checkpoints(task, spec, know)]
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == know.party else ():
                port, path = task.component.inputs[name], f"tasks.{task.name}.inputs.{name}"
                facts: TableFacts | ModelFacts | PlatformError | None
                if isinstance(reference, OutputInput) and reference.job is None:
                    facts = know.tables.get(str(reference))
                    found = use_of_made(reference, made_of.get(reference.task, ()), task, spec, know)
                elif port.kind is PortKind.TABLE:
                    facts = table = know.tables[earlier_name(reference, is_table=True)]
                    found = use_of_table(str(reference), table, task, spec, know)
                else:
                    facts = model = know.models[earlier_name(reference, is_table=False)]
                    found = use_of_model(str(reference), model, task, spec, seeing, know)
                told = list(found) or unfit(str(reference), facts, port, address.role)
                reasons += [reason.at(path) for reason in told]
    return reasons


def warnings(tasks: Mapping[str, BoundTask]) -> list[str]:
    """What every party should think of before it agrees, each thing once."""
    few: dict[tuple[int, int], list[str]] = {}
    for task in tasks.values():
        if 0 < (count := trainers(task)) < (safe := task.component.safe_trainers):
            few.setdefault((count, safe), []).append(f"tasks.{task.name}")
    return [
        f"{_listed(names)}: with {count} trainers a sum reveals the other's update to each of them; "
        f"{safe} or more are safer."
        for (count, safe), names in few.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_TASKS
    return ", ".join(names[:_NAMED_TASKS]) + (f" and {more} more" if more > 0 else "")


def _peers(spec: JobSpec, party: str, policy: PolicySettings) -> list[Reason]:
    return [
        Reason(f"The policy of {party} does not allow jobs with {other}.", by_policy=True)
        for other in spec.parties
        if other != party and not allowed(other, policy.peers)
    ]


def _stranger(other: str, party: str) -> Reason:
    said = f"{party} does not trust {other}, a party of this job."
    return Reason(said, f"{said} Its card is added with `flow party trust CARD`; the job is then submitted again.")


def _api(proposal: Proposal, party: str) -> Iterator[Reason]:
    """What keeps a party from computing with the initiator whatever is computed."""
    try:
        require_common_api({proposal.initiator: proposal.api, party: OUR_API})
    except ApiMismatch as error:
        yield Reason(str(error))


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
            yield Reason(f"The policy of {know.party} does not allow the component {reference}.", by_policy=True)
        if count and count < policy.min_trainers:
            said = f"the policy of {know.party} asks for {policy.min_trainers} trainers, the job has {count}."
            yield Reason(said, by_policy=True).at(f"tasks.{task.name}")
        least, has = protection_of(policy, task.component), weakest(task)
        if has is not None and has.strength < least.strength:
            said = (
                f"the policy of {know.party} asks for '{least}' protection or better of what {reference} sends, "
                f"the job has '{has}'."
            )
            if (better := remedy(task, least)) is not None:
                said += f" Set tasks.{task.name}.parameters.{better[0]} to {json.dumps(better[1])}."
            yield Reason(said, by_policy=True).at(f"tasks.{task.name}")


def _tables(tasks: Mapping[str, BoundTask], know: Knowledge) -> dict[str, dict[str, dict[str, BroughtTable]]]:
    """Each table that this party brings, by task, address and input."""
    found: dict[str, dict[str, dict[str, BroughtTable]]] = {}
    told = told_places(tasks)
    for task in tasks.values():
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == know.party else ():
                is_earlier = isinstance(reference, TableInput) or reference.job is not None
                if not is_earlier or task.component.inputs[name].kind != "table":
                    continue
                facts = know.tables[earlier_name(reference, is_table=True)]
                if isinstance(facts, TableFacts):
                    rows = facts.rows if (task.name, address, name) in told else None
                    table = BroughtTable(reference=facts.reference, roles=facts.roles.told, rows=rows)
                    found.setdefault(task.name, {}).setdefault(str(address), {})[name] = table
    return found
