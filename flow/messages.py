"""What one party's Flow may say to another's: a closed list of methods, each with a typed order and a typed reply.

A message travels as `{"schema": 1, "hlc": ..., "body": {...}}` in JSON through the gateways' signed calls, so that the
receiver knows who speaks. Every order names (job, task, attempt) and may be repeated without harm.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flow.errors import BadMessage, UnknownSchema
from flow.job_state import AttemptState, JobState
from flow.views import ErrorView
from party.canonical import parse_json
from party.clock import HybridTime
from party.errors import PlatformError
from party.ids import JOB_ID_PATTERN, MAX_NAME_CHARS, NAME_PATTERN

MESSAGE_SCHEMA = 1
MAX_MESSAGE_BYTES = 8 << 20
MAX_REPORT_ROWS = 5_000


JobName = Annotated[str, Field(pattern=f"^{JOB_ID_PATTERN}$")]
Task = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=MAX_NAME_CHARS)]


class Message(BaseModel):
    """The base of every order and reply: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Decision(StrEnum):
    """What a party says to a proposal."""

    AGREE = "agree"
    ASK = "ask"  # a person of that party decides; a second answer follows
    REFUSE = "refuse"


class Ack(Message):
    """Done, or already done."""


class Proposal(Message):
    """What the initiator wants to run.

    Attributes:
        spec: The job.json, defaults written out; spec_digest: SHA-256 of its canonical form.
        seed: The common seed of the job, hex, 32 bytes.
        code: The digest of each component's source at the initiator, by component reference.
    """

    job: JobName
    initiator: str
    user: str
    spec: dict[str, Any]
    spec_digest: str
    seed: str = Field(pattern=r"^[0-9a-f]{64}$")
    code: dict[str, str]
    submitted_ms: int


class KeptSteps(Message):
    """The steps of an earlier job's attempt for which an address of the sender still has a checkpoint."""

    job: JobName
    task: Task
    attempt: int = Field(ge=1)
    address: str
    steps: tuple[Annotated[int, Field(ge=0)], ...]


class Answer(Message):
    """What one party says to a proposal.

    Attributes:
        proposal_digest: Of exactly what was proposed.
        tables: By task, address and input, the table version that this party brings.
        share: What it lets the initiator see beside states and error codes.
        checkpoints: What it holds of the jobs that this one goes on from.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    job: JobName
    party: str
    proposal_digest: str
    decision: Decision
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: dict[str, dict[str, dict[str, str]]] = {}
    share: tuple[str, ...] = ()
    checkpoints: tuple[KeptSteps, ...] = Field(
        default=(),
        exclude_if=lambda kept: not kept,  # so that the signature of an answer without them is what it always was
    )


class SignedAnswer(Message):
    """An answer under its party's signature (hex)."""

    answer: Answer
    signature: str


class Manifest(Message):
    """The contract of a job: the proposal and every party's signed answer, in party order."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    proposal: Proposal
    answers: tuple[SignedAnswer, ...]
    digest: str


class AttemptOrder(Message):
    """An order about one attempt."""

    job: JobName
    task: Task
    attempt: int = Field(ge=1)


class ReserveOrder(AttemptOrder):
    """Hold room for the receiver's addresses of an attempt."""

    lease_s: float = Field(gt=0, le=3600)


class Reserved(Message):
    """Whether there is room, and if not why."""

    reserved: bool
    reason: str = ""


class StopOrder(AttemptOrder):
    """End the receiver's executors of an attempt; what they staged is dropped."""

    state: AttemptState


class PublishedOutput(Message):
    """One output that became visible at the sender."""

    address: str
    name: str
    kind: str
    reference: str
    digest: str = ""


class Published(Message):
    """What a party's sides of a task gave."""

    outputs: tuple[PublishedOutput, ...] = ()


class EndOrder(Message):
    """The job is over: close, clean up, remember how it ended."""

    job: JobName
    state: JobState
    error: ErrorView | None = None


class JobOrder(Message):
    """An order or question about a whole job."""

    job: JobName


class Withdrawal(Message):
    """A party leaves the job; the initiator ends it."""

    job: JobName
    reason: str


class MetricNews(Message):
    """One number of one round."""

    task: Task
    attempt: int
    address: str
    name: str
    step: int
    value: float
    at_ms: int


class LogNews(Message):
    """One log line."""

    task: Task
    attempt: int
    address: str
    incarnation: int
    sequence: int
    level: str
    text: str
    at_ms: int


class ProgressNews(Message):
    """How far a side is."""

    task: Task
    attempt: int
    address: str
    done: int
    total: int
    what: str
    at_ms: int


class SideNews(Message):
    """Where one of the sender's sides is."""

    task: Task
    attempt: int
    address: str
    state: AttemptState
    retryable: bool = False
    error: ErrorView | None = None


class Report(Message):
    """News of a party's sides of a job; numbers and lines only where its policy shares them."""

    job: JobName
    sides: tuple[SideNews, ...] = ()
    metrics: tuple[MetricNews, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)
    logs: tuple[LogNews, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)
    progress: tuple[ProgressNews, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)


class Method(StrEnum):
    """The closed list of calls between Flows."""

    PROPOSE = "propose"  # initiator → party: Proposal → SignedAnswer
    ANSWER = "answer"  # party → initiator: SignedAnswer → Ack, after a person decided
    OPEN = "open"  # initiator → party: Manifest → Ack
    RESERVE = "reserve"  # initiator → party: ReserveOrder → Reserved
    GIVE_BACK = "give_back"  # initiator → party: AttemptOrder → Ack
    START = "start"  # initiator → party: AttemptOrder → Ack
    STOP = "stop"  # initiator → party: StopOrder → Ack
    PUBLISH = "publish"  # initiator → party: AttemptOrder → Published
    END = "end"  # initiator → party: EndOrder → Ack
    PROBE = "probe"  # initiator → party: JobOrder → Report, states only
    REPORT = "report"  # party → initiator: Report → Ack
    WITHDRAW = "withdraw"  # party → initiator: Withdrawal → Ack


M = TypeVar("M", bound=Message)


def encode(message: Message, hlc: HybridTime) -> bytes:
    """The bytes of a message."""
    body = message.model_dump_json(by_alias=True)
    return f'{{"schema":{MESSAGE_SCHEMA},"hlc":"{hlc}","body":{body}}}'.encode()


def decode(kind: type[M], data: bytes) -> tuple[M, HybridTime]:
    """The message in the bytes and its sender's clock.

    Raises:
        BadMessage: It is not a message of this kind.
        UnknownSchema: It is of another version.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"A message is larger than {MAX_MESSAGE_BYTES} bytes.")
    try:
        outer = parse_json(data, "A message between Flows")
    except PlatformError as error:
        raise BadMessage(error.message) from None
    if not isinstance(outer, dict) or "schema" not in outer:
        raise BadMessage("A message between Flows carries no schema version.")
    if outer["schema"] != MESSAGE_SCHEMA:
        raise UnknownSchema(
            f"A message between Flows is of version {str(outer['schema'])[:20]}, this release speaks {MESSAGE_SCHEMA}.",
            hint="Bring both parties to the same release.",
        )
    try:
        reading = HybridTime.parse(str(outer["hlc"]))
        return kind.model_validate_json(json.dumps(outer["body"])), reading
    except (ValidationError, KeyError, ValueError) as error:
        raise BadMessage(f"A message does not have the form of {kind.__name__}: {str(error)[:300]}") from None
