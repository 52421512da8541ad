"""A party's decision about a proposed job. Pure: what store and registry know is looked up before and passed in.

An answer that refuses carries every reason, so that the initiator can mend all of them at once; two things are no
answer but an error: a proposal by a party that is not its initiator, and one whose digests do not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from algorithms.component import Component, Parameters, Protection, aggregates, weakest_protection
from flow.bindings import BoundTask, Components, bind
from flow.errors import BadMessage, NotInitiator
from flow.inputs import OutputInput, TableInput
from flow.job_spec import JobSpec
from flow.manifest import proposal_digest
from flow.messages import Answer, Decision, KeptSteps, Proposal
from party.errors import PlatformError
from party.ids import Role

SAFE_TRAINERS = 3
DEFAULT_PROTECTION = Protection.MASKED


@dataclass(frozen=True)
class Policy:
    """What a party agrees to; the `[policy]` section of its settings."""

    accept: Decision = Decision.ASK
    components: tuple[str, ...] = ("*",)
    peers: tuple[str, ...] = ("*",)
    share: tuple[str, ...] = ("metrics",)
    min_rows: int = 1
    min_trainers: int = 2
    min_protection: str | Mapping[str, str] = DEFAULT_PROTECTION

    def protection_of(self, component: Component) -> Protection:
        """The least that this party asks for where numbers computed from rows leave in a component."""
        if isinstance(self.min_protection, str):
            return Protection(self.min_protection)
        for name in (component.reference, component.name, "*"):
            if name in self.min_protection:
                return Protection(self.min_protection[name])
        return DEFAULT_PROTECTION


@dataclass(frozen=True)
class TableFacts:
    """What a party knows of one of its tables."""

    reference: str  # exact version
    rows: int
    components: tuple[str, ...] = ("*",)
    peers: tuple[str, ...] = ("*",)
    min_rows: int = 0
    expires: datetime | None = None


@dataclass(frozen=True)
class Knowledge:
    """What the deciding party knows.

    Attributes:
        party, policy, now: Who decides, by which rules, when.
        tables: For each table text that the job names for this party: what it is, or why it is not there.
        models: For each output of an earlier job (`job/task.output`) that this party must hold: the error, or None.
        checkpoints: What it holds of the jobs that this one goes on from.
        room: For each task that its hosts can never bear: why.
    """

    party: str
    policy: Policy
    now: datetime
    components: Components
    tables: Mapping[str, TableFacts | PlatformError]
    models: Mapping[str, PlatformError | None]
    checkpoints: tuple[KeptSteps, ...] = ()
    room: Mapping[str, str] = field(default_factory=dict)


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
                    (tables if is_table else models).add(_earlier(reference, is_table=is_table))
    return tables, models


def check_proposal(proposal: Proposal, caller: str, spec: JobSpec, party: str) -> None:
    """Raise unless the proposal is what it says it is.

    Raises:
        NotInitiator: The caller is not the job's initiator.
        BadMessage: A digest does not fit, or the party has no role.
    """
    if not caller == proposal.initiator == spec.initiator:
        raise NotInitiator(f"{caller} proposes job {proposal.job}, whose initiator is {spec.initiator}.")
    if spec.digest() != proposal.spec_digest:
        raise BadMessage(f"The digest of job {proposal.job} does not fit its document.")
    if party not in spec.parties:
        raise BadMessage(f"{party} holds no role in job {proposal.job}.")


def decide(proposal: Proposal, spec: JobSpec, know: Knowledge) -> Answer:
    """The party's answer to a proposal that passed `check_proposal`."""
    tasks, problems = bind(spec, know.components)
    reasons = [f"{p.path}: {p.message} {p.hint}".rstrip() for p in problems]
    tables: dict[str, dict[str, dict[str, str]]] = {}
    if not problems:
        reasons += _code(proposal, tasks)
        reasons += _policy(spec, tasks, know)
        tables, missing = _tables(spec, tasks, know)
        reasons += missing
        reasons += [f"tasks.{task}.resources: {why} at {know.party}. Ask for less." for task, why in know.room.items()]
    decision = Decision.REFUSE if reasons else know.policy.accept
    if decision is Decision.REFUSE and not reasons:
        reasons = [f"The policy of {know.party} refuses every job."]
    return Answer(
        job=proposal.job,
        party=know.party,
        proposal_digest=proposal_digest(proposal),
        decision=decision,
        reasons=tuple(dict.fromkeys(reasons)),
        warnings=tuple(_warnings(tasks)),
        tables=tables,
        share=know.policy.share,
        checkpoints=know.checkpoints,
    )


def _code(proposal: Proposal, tasks: Mapping[str, BoundTask]) -> list[str]:
    reasons = []
    for component in {task.component.reference: task.component for task in tasks.values()}.values():
        theirs = proposal.code.get(component.reference, "")
        if theirs != component.code_digest:
            reasons.append(
                f"{component.reference} has other code here ({component.code_digest[:12]}) than at "
                f"{proposal.initiator} ({theirs[:12] or 'none'}). Bring both parties to the same release."
            )
    return reasons


def _policy(spec: JobSpec, tasks: Mapping[str, BoundTask], know: Knowledge) -> list[str]:
    policy, reasons = know.policy, []
    for party in spec.parties:
        if party != know.party and not _allowed(party, policy.peers):
            reasons.append(f"The policy of {know.party} does not allow jobs with {party}.")
    for task in tasks.values():
        reference = task.component.reference
        if not _allowed(reference, policy.components) and not _allowed(task.component.name, policy.components):
            reasons.append(f"The policy of {know.party} does not allow the component {reference}.")
        trainers = _trainers(task)
        if trainers and trainers < policy.min_trainers:
            reasons.append(
                f"tasks.{task.name}: the policy of {know.party} asks for {policy.min_trainers} trainers, "
                f"the job has {trainers}."
            )
        least, weakest = policy.protection_of(task.component), _weakest(task)
        if weakest is not None and weakest.strength < least.strength:
            reasons.append(
                f"tasks.{task.name}: the policy of {know.party} asks for '{least}' protection or better of what "
                f"{reference} sends, the job has '{weakest}'."
            )
    return reasons


def _tables(
    spec: JobSpec, tasks: Mapping[str, BoundTask], know: Knowledge
) -> tuple[dict[str, dict[str, dict[str, str]]], list[str]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    reasons: list[str] = []
    for task in tasks.values():
        for address, side in task.sides.items():
            for name, reference in side.inputs.items() if address.party == know.party else ():
                path = f"tasks.{task.name}.inputs.{name}"
                is_table = task.component.inputs[name].kind == "table"
                if isinstance(reference, OutputInput) and reference.job is None:
                    continue
                if not is_table:
                    error = know.models.get(str(_earlier(reference, is_table=False)))
                    reasons += [f"{path}: {error.message} {error.hint}".rstrip()] if error else []
                    continue
                facts = know.tables[_earlier(reference, is_table=True)]
                if isinstance(facts, PlatformError):
                    reasons.append(f"{path}: {facts.message} {facts.hint}".rstrip())
                    continue
                reasons += [f"{path}: {reason}" for reason in _use(facts, task, spec, know)]
                found.setdefault(task.name, {}).setdefault(str(address), {})[name] = facts.reference
    return found, reasons


def _use(facts: TableFacts, task: BoundTask, spec: JobSpec, know: Knowledge) -> Iterable[str]:
    least = max(facts.min_rows, know.policy.min_rows)
    if facts.rows < least:
        yield f"table {facts.reference} has {facts.rows} rows, the policy of {know.party} asks for {least}."
    reference = task.component.reference
    if not _allowed(reference, facts.components) and not _allowed(task.component.name, facts.components):
        yield f"table {facts.reference} may not be used by {reference}."
    for party in spec.parties:
        if party != know.party and not _allowed(party, facts.peers):
            yield f"table {facts.reference} may not be used with {party}."
    if facts.expires is not None and facts.expires <= know.now:
        yield f"the permission to use table {facts.reference} ended on {facts.expires:%Y-%m-%d}."


def _warnings(tasks: Mapping[str, BoundTask]) -> list[str]:
    return [
        f"tasks.{task.name}: with {count} trainers a sum reveals the other's update to each of them; "
        f"{SAFE_TRAINERS} or more are safer."
        for task in tasks.values()
        if 0 < (count := _trainers(task)) < SAFE_TRAINERS
    ]


def _trainers(task: BoundTask) -> int:
    """How many parties' updates meet in the task's sums; 0 for a task in which nothing is summed by an arbiter."""
    if not any(aggregates(task.component, own) for own in _parameters(task)):
        return 0
    return len({address.party for address in task.addresses if address.role is not Role.ARBITER})


def _weakest(task: BoundTask) -> Protection | None:
    """The weakest protection of numbers computed from rows, whichever side's parameters decide it."""
    found = [weakest for own in _parameters(task) if (weakest := weakest_protection(task.component, own)) is not None]
    return min(found, key=lambda protection: protection.strength, default=None)


def _parameters(task: BoundTask) -> Iterator[Parameters]:
    """Each side's parameters, as that side will run them."""
    for side in task.sides.values():
        yield task.component.parameters.model_validate(side.parameters)


def _earlier(reference: TableInput | OutputInput, *, is_table: bool) -> str:
    if isinstance(reference, TableInput):
        return reference.name
    return reference.table(reference.job or "") if is_table else reference.model(reference.job or "")


def _allowed(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
