"""job.json: its models, and reading it with an error that names the path of the bad field.

Only what one document says about itself; rules that need components or tables are in `flow.job.binding`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from flow.errors import BadMessage, JobInvalid, Problem, UnknownSchema
from flow.job.problems import from_validation
from flow.job.texts import Label, Reference
from party.ids import JOB_ID_PATTERN, Role, task_name
from party.settings import MIDDLE_PRIORITY, Party, as_value_error, size_bytes
from runtime.canonical import canonical_digest, parse_json
from runtime.errors import PlatformError
from runtime.suggestions import did_you_mean

JOB_SCHEMA = 1
MAX_JOB_BYTES = 1 << 20
MAX_TASKS = 1000
MAX_PARTIES = 1000
MAX_SIDES = 10_000  # of all tasks together: a party in a role of a task is one
MAX_WRITTEN_BYTES = 16 << 20  # what tasks say to all, as often as it is worked out
MAX_SECONDS = 10 * 365 * 86_400
COMMON = "common"

_REFERENCE = re.compile(r"[a-z][a-z0-9_]*(@[1-9][0-9]*)?")


def _task(text: str) -> str:
    return as_value_error(lambda: task_name(text))


def _component(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError("a component is written like homo_lr@1")
    return text


def _job(text: str) -> str:
    if not re.fullmatch(JOB_ID_PATTERN, text):
        raise ValueError("a job id is written like 01M84NKVCS9025W7T6P1XBY3P8")
    return text


def _memory(text: str) -> str:
    size_bytes(text)
    return text


Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
PartyName = Party
Task = Annotated[str, AfterValidator(_task)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSettings(_Section):
    """How long, how often, how urgent, from which seed, from which job on."""

    priority: Annotated[int, Field(ge=0, le=9)] = Field(
        default=MIDDLE_PRIORITY,
        description="Higher goes first where both wait for room; other parties may let it count for less.",
    )
    timeout_s: Seconds = Field(default=3600, description="Running time after which the job fails.")
    wait_s: Seconds = Field(
        default=604_800, description="Time spent waiting for people, room or absent parties, likewise."
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=2, description="New attempts of a task after a loss or a passing failure."
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = Field(
        default=None,
        description="Fixes initial models and the order of rows, so that a job can be repeated; else drawn.",
    )
    resume: Annotated[str, AfterValidator(_job)] | None = Field(
        default=None,
        exclude_if=lambda job: job is None,  # so that the digest of a job without it is what it always was
        description="A job that failed or was stopped: tasks alike go on from its checkpoints.",
    )


class ResourceSpec(_Section):
    """What one executor may use."""

    cores: Annotated[int, Field(ge=1, le=4096)] = 1
    memory: Annotated[str, Field(max_length=40), AfterValidator(_memory)] = Field(
        default="1GiB", description="For example 512MiB or 2GiB."
    )
    gpus: Annotated[int, Field(ge=0, le=64)] = 0

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        return size_bytes(self.memory)


class TaskSpec(_Section):
    """One use of a component.

    Attributes:
        component: `homo_lr@1`.
        roles: The roles that take part; without it, every role of the job that the component knows.
        inputs: By input name a reference (`namespace/name`, `task.output` or `job:ID/task.output`), or an object with
            a `common` reference and overrides by role, then by party.
        parameters, resources: Common values, with overrides in an object under a role, then under a party.
    """

    component: Annotated[Label, AfterValidator(_component)]
    roles: tuple[Role, ...] | None = None
    inputs: dict[Label, Reference | dict[Label, Reference]] = {}
    parameters: dict[Label, JsonValue] = {}
    resources: dict[Label, JsonValue] = {}

    @property
    def own_places(self) -> set[str]:
        """Whatever may be a party or role that is told something of its own."""
        found = {place for value in self.inputs.values() if isinstance(value, dict) for place in value}
        for said in (self.parameters, self.resources):
            found |= {key for key, value in said.items() if isinstance(value, dict)}
        return found


class JobSpec(_Section):
    """A whole job.json."""

    schema_version: Literal[1] = Field(alias="schema", description="The version of this document.")
    name: Annotated[Label, Field(min_length=1)]
    initiator: PartyName
    roles: dict[Role, Annotated[tuple[PartyName, ...], Field(max_length=MAX_PARTIES)]] = Field(min_length=1)
    settings: JobSettings = JobSettings()
    tasks: dict[Task, TaskSpec] = Field(min_length=1, max_length=MAX_TASKS)

    @property
    def parties(self) -> tuple[str, ...]:
        """Every party of the job once, in id order."""
        return tuple(sorted({party for parties in self.roles.values() for party in parties}))

    def document(self) -> dict[str, Any]:
        """The job as plain JSON, defaults written out."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """SHA-256 over the canonical document: two files that mean the same have the same digest."""
        return canonical_digest(self.document())


def parse_job(data: bytes) -> JobSpec:
    """The job in the bytes of a file.

    Raises:
        JobInvalid: With each problem's path.
        UnknownSchema: The document is of another version.
    """
    if len(data) > MAX_JOB_BYTES:
        raise JobInvalid([Problem(path="", message=f"the job is larger than {MAX_JOB_BYTES} bytes.")])
    try:
        document = parse_json(data, "The job")
    except PlatformError as error:
        raise JobInvalid([Problem(path="", message=error.message)]) from None
    _check_version(document)
    try:
        spec = JobSpec.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise JobInvalid(from_validation(error, JobSpec)) from None
    if problems := own_rules(spec):
        raise JobInvalid(problems)
    return spec


def own_rules(spec: JobSpec) -> list[Problem]:
    """What a job breaks of the rules that take nothing but the job; costs no more than reading it did."""
    problems = []
    for role, parties in spec.roles.items():
        if not parties:
            problems.append(Problem(path=f"roles.{role}", message="no party is named.", hint="Leave the role out."))
        if len(set(parties)) != len(parties):
            problems.append(Problem(path=f"roles.{role}", message="a party is named twice."))
    if spec.initiator not in spec.parties:
        problems.append(
            Problem(
                path="initiator",
                message=f"'{spec.initiator}' holds no role in this job.",
                hint=did_you_mean(spec.initiator, spec.parties),
            )
        )
    return [*problems, *_size_rules(spec)]


def proposed_job(document: dict[str, Any]) -> JobSpec:
    """The job in a proposal, as its initiator's Flow wrote it out. Raises BadMessage."""
    try:
        return JobSpec.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = from_validation(error, JobSpec)[0]
        raise BadMessage(
            f"The proposed job cannot be read: {first.path}: {first.message}",
            hint="Bring both parties to the same release.",
        ) from None


def _check_version(document: object) -> None:
    if not isinstance(document, dict):
        raise JobInvalid([Problem(path="", message="the job is not a JSON object.")])
    if "schema" not in document:
        raise JobInvalid(
            [Problem(path="schema", message="this key is missing.", hint=f'Write "schema": {JOB_SCHEMA}.')]
        )
    version = document["schema"]
    if version != JOB_SCHEMA or isinstance(version, bool):
        raise UnknownSchema(
            f"schema: this release reads version {JOB_SCHEMA}, the job says {str(version)[:40]!r}.",
            hint=f'Write "schema": {JOB_SCHEMA}, or use the release that the job was written for.',
        )


def _size_rules(spec: JobSpec) -> Iterator[Problem]:
    """A job is worked out for every side of every task, so a short document may ask for much work."""
    sides = sum(len(list(_parties(spec, task))) for task in spec.tasks.values())
    if sides > MAX_SIDES:
        yield Problem(
            path="tasks",
            message=f"{len(spec.tasks)} tasks have {sides} sides (a party in a role of a task); "
            f"{MAX_SIDES} are allowed.",
            hint="Make several jobs of it: a later one takes outputs of an earlier one by job:ID/task.output.",
        )
        return
    written = {name: _written_bytes(spec, task) for name, task in spec.tasks.items()}
    if (size := sum(written.values())) > MAX_WRITTEN_BYTES:
        largest = max(written, key=lambda name: written[name])
        yield Problem(
            path=f"tasks.{largest}.parameters",
            message=f"what is said to all, written out for each party that is told something of its own, has {size} "
            f"bytes in all tasks; {MAX_WRITTEN_BYTES} are allowed, and this task has the most.",
            hint="Say less to all, or the same to more parties.",
        )


def _parties(spec: JobSpec, task: TaskSpec) -> Iterator[str]:
    for role in spec.roles if task.roles is None else task.roles:
        yield from spec.roles.get(role, ())


def _written_bytes(spec: JobSpec, task: TaskSpec) -> int:
    """What a task says to all, as often as it is worked out: by role, and for each party with something of its own."""
    own = task.own_places & set(spec.parties)
    times = len(Role) + sum(party in own for party in _parties(spec, task))
    said = [{key: value for key, value in each.items() if key not in own} for each in (task.parameters, task.resources)]
    return times * len(json.dumps(said))
