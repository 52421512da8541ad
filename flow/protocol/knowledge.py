"""What a party knows when it decides about a job: looked up before, passed in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flow.job.binding import BoundTask
from flow.job.references import OutputInput, TableInput
from flow.protocol.lineage import own_inputs
from flow.protocol.messages import KeptSteps
from flow.protocol.policy import ModelFacts, Source, TableFacts
from party.settings import PolicySettings
from runtime.errors import PlatformError


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
    policy: PolicySettings
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


def own_models(tasks: Mapping[str, BoundTask], know: Knowledge) -> dict[str, dict[str, str]]:
    """The kind of each earlier model that this party brings, by task and input: a conversation may depend on it."""
    found: dict[str, dict[str, str]] = {}
    for task in tasks.values():
        for _, name, reference, is_table in own_inputs(task, know.party):
            if is_table or isinstance(reference, TableInput) or reference.job is None:
                continue
            facts = know.models[earlier_name(reference, is_table=False)]
            if isinstance(facts, ModelFacts) and facts.kind:
                found.setdefault(task.name, {})[name] = facts.kind
    return found


def with_own_models(tasks: Mapping[str, BoundTask], know: Knowledge) -> dict[str, BoundTask]:
    """The tasks with the kinds of the models that this party brings, before others have told theirs."""
    own = own_models(tasks, know)
    return {**tasks, **{name: tasks[name].with_models(own[name]) for name in own}}


def earlier_name(reference: TableInput | OutputInput, *, is_table: bool) -> str:
    """What a table, or an output of an earlier job, is called in the party's store."""
    if isinstance(reference, TableInput):
        return reference.name
    return reference.table(reference.job or "") if is_table else reference.model(reference.job or "")
