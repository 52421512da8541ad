"""What one party's Flow may say to another's: a closed list of methods, each with a typed order and a typed reply.

A message travels as `{"schema": 1, "hlc": ..., "body": {...}}` in JSON through the gateways' signed calls, so that the
receiver knows who speaks. Every order names (job, task, attempt) and may be repeated without harm.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from flow.job.spec import MAX_TASKS
from flow.job.states import AttemptState, JobState
from flow.job.texts import (
    AddressText,
    Digest,
    JobIdText,
    Label,
    PartyName,
    Reference,
    Sentences,
    ShownLabel,
    ShownLine,
    ShownSentence,
    SignatureText,
    Task,
)
from flow.protocol.envelope import M as M
from flow.protocol.envelope import Message as Message
from flow.protocol.envelope import decode as decode
from flow.protocol.envelope import encode as encode
from flow.views.jobs import ErrorView
from flow.views.stalls import MOST_FACTS, Fact
from runtime.bounds import Attempt, Count, Incarnation, TimeMs
from storage.client import TableRoles

MAX_REPORT_ROWS = 5_000
MAX_SIDES = 5_000
MAX_STEPS = 10_000
MAX_ENDED_ATTEMPTS = 1_000
MAX_PAST_EVENTS = 1_000

Value = float  # what an algorithm measured, infinite or not a number included
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Decision(StrEnum):
    """What a party says to a proposal."""

    AGREE = "agree"
    ASK = "ask"  # a person of that party decides; a second answer follows
    REFUSE = "refuse"


class Ack(Message):
    """Done, or already done."""


class ApiVersions(Message):
    """Which versions of the API of algorithms a party's release speaks."""

    minimum: Count
    version: Count

    def __str__(self) -> str:
        return str(self.version) if self.minimum == self.version else f"{self.minimum} to {self.version}"


class Proposal(Message):
    """What the initiator wants to run.

    Attributes:
        spec: The job.json, defaults written out; spec_digest: SHA-256 of its canonical form.
        seed: The common seed of the job, hex, 32 bytes.
        code: The digest of each component's mathematics at the initiator, by component reference.
        api: What the initiator speaks.
    """

    job: JobIdText
    initiator: PartyName
    user: Label
    spec: dict[Label, Any]
    spec_digest: Digest
    seed: Digest
    code: Annotated[dict[Label, Label], Field(max_length=1_000)]
    api: ApiVersions
    submitted_ms: TimeMs


class KeptSteps(Message):
    """The steps of a job's attempt for which an address of the sender still has a checkpoint."""

    job: JobIdText
    task: Task
    attempt: Attempt
    address: AddressText
    steps: Annotated[tuple[Count, ...], Field(max_length=MAX_STEPS)]


def _told(roles: TableRoles) -> TableRoles:
    if roles != roles.told:
        raise ValueError("it names columns")
    return roles


class BroughtTable(Message):
    """A table that a party brings: its exact version, its roles without the names of columns, if asked for its rows."""

    reference: Reference
    roles: Annotated[TableRoles, AfterValidator(_told)]
    rows: Count | None = Field(default=None, exclude_if=lambda rows: rows is None)


class Answer(Message):
    """What one party says to a proposal.

    Attributes:
        proposal_digest: Of exactly what was proposed.
        api: What the party speaks.
        tables: By task, address and input, the table that this party brings.
        models: By task and input, the kind of the earlier model that it brings.
        share: What it lets the initiator see beside states and error codes.
        checkpoints: What it holds of the jobs that this one goes on from.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    job: JobIdText
    party: PartyName
    proposal_digest: Digest
    api: ApiVersions
    decision: Decision
    reasons: Sentences = ()
    warnings: Sentences = ()
    tables: dict[Task, dict[AddressText, dict[Label, BroughtTable]]] = Field(default_factory=dict)
    models: dict[Task, dict[Label, Label]] = Field(default_factory=dict)
    share: Annotated[tuple[Label, ...], Field(max_length=100)] = ()
    checkpoints: Annotated[tuple[KeptSteps, ...], Field(max_length=MAX_SIDES)] = ()


class SignedAnswer(Message):
    """An answer under its party's signature (hex)."""

    answer: Answer
    signature: SignatureText


class Considered(Message):
    """What a party would answer if this were proposed now. It promises nothing, and so bears no signature.

    Attributes:
        answer: What it would sign.
        fits: By task, whether its hosts have room for its sides now; only where it would agree.
    """

    answer: Answer
    fits: Annotated[dict[Task, bool], Field(default_factory=dict, max_length=MAX_TASKS)]


class Manifest(Message):
    """The contract of a job: the proposal and every party's signed answer, in party order."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    proposal: Proposal
    answers: Annotated[tuple[SignedAnswer, ...], Field(max_length=1_000)]
    digest: Digest

    @property
    def speaks(self) -> dict[str, ApiVersions]:
        """What each party speaks."""
        return {signed.answer.party: signed.answer.api for signed in self.answers}


class AttemptOrder(Message):
    """An order about one attempt."""

    job: JobIdText
    task: Task
    attempt: Attempt


class ReserveOrder(AttemptOrder):
    """Hold room for the receiver's addresses of an attempt."""

    lease_s: Seconds


class Reserved(Message):
    """Whether there is room, and if not why."""

    reserved: bool
    reason: ShownSentence = ""


class StopOrder(AttemptOrder):
    """End the receiver's executors of an attempt that ended badly; what they staged is dropped."""

    state: Literal[AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED]


class PublishedOutput(Message):
    """One output that became visible at the sender."""

    address: AddressText
    name: Task
    kind: Task
    reference: Reference
    digest: Annotated[str, Field(pattern="^(?:[0-9a-f]{64})?$")] = ""


class Published(Message):
    """What a party's sides of a task gave."""

    outputs: Annotated[tuple[PublishedOutput, ...], Field(max_length=1_000)] = ()


class EndedAttempt(Message):
    """An attempt that did not end by being cancelled."""

    task: Task
    attempt: Attempt
    state: Literal[AttemptState.FAILED, AttemptState.LOST]


class EndOrder(Message):
    """The job is over: close, clean up, remember how it and its attempts ended."""

    job: JobIdText
    state: Literal[JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.REFUSED]
    error: ErrorView | None = None
    attempts: tuple[EndedAttempt, ...] = Field(
        default=(), max_length=MAX_ENDED_ATTEMPTS, exclude_if=lambda ended: not ended
    )


class JobOrder(Message):
    """An order or question about a whole job."""

    job: JobIdText


class PauseOrder(JobOrder):
    """The job is paused: park what runs of it. Or it goes on: what was parked is reserved and started once more."""

    paused: bool


class HistoryOrder(JobOrder):
    """What happened to the receiver's side of a job, after its event with an id."""

    since: Count = 0


class PastEvent(Message):
    """One thing that happened at the sender, without words: `cause` is the kind of a loss."""

    id: Count
    hlc: Label
    kind: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=40)]
    task: Task | Literal[""] = ""
    attempt: Count = 0
    address: AddressText | Literal[""] = ""
    incarnation: Count = 0
    code: ShownLabel = ""
    cause: ShownLabel = ""


class History(Message):
    """What happened at the sender, oldest first, and whether there is more."""

    events: Annotated[tuple[PastEvent, ...], Field(max_length=MAX_PAST_EVENTS)] = ()
    more: bool = False


class Withdrawal(Message):
    """The sender leaves the job, which does not go on without it."""

    job: JobIdText
    reason: ShownSentence


class MetricReport(Message):
    """One number of one round."""

    task: Task
    attempt: Attempt
    address: AddressText
    name: ShownLabel
    step: Count
    value: Value
    at_ms: TimeMs


class LogReport(Message):
    """One log line."""

    task: Task
    attempt: Attempt
    address: AddressText
    incarnation: Incarnation
    sequence: Count
    level: ShownLabel
    text: ShownLine
    at_ms: TimeMs


class ProgressReport(Message):
    """How far a side is."""

    task: Task
    attempt: Attempt
    address: AddressText
    done: Count
    total: Count
    what: ShownSentence
    at_ms: TimeMs


class SideReport(Message):
    """Where one of the sender's sides is."""

    task: Task
    attempt: Attempt
    address: AddressText
    state: AttemptState
    retryable: bool = False
    error: ErrorView | None = None


class Report(Message):
    """News of a party's sides of a job; numbers and lines only where its policy shares them.

    `facts` is all that its executors wait for now; absent where nothing is said of that.
    """

    job: JobIdText
    sides: tuple[SideReport, ...] = Field(default=(), max_length=MAX_SIDES)
    metrics: tuple[MetricReport, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)
    logs: tuple[LogReport, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)
    progress: tuple[ProgressReport, ...] = Field(default=(), max_length=MAX_REPORT_ROWS)
    facts: tuple[Fact, ...] | None = Field(default=None, max_length=MOST_FACTS, exclude_if=lambda facts: facts is None)


class Method(StrEnum):
    """The closed list of calls between Flows."""

    PROPOSE = "propose"  # initiator → party: Proposal → SignedAnswer
    CONSIDER = "consider"  # initiator → party: Proposal → Considered, which leaves nothing behind
    ANSWER = "answer"  # party → initiator: SignedAnswer → Ack, after a person decided
    OPEN = "open"  # initiator → party: Manifest → Ack
    PAUSE = "pause"  # initiator → party: PauseOrder → Ack
    RESERVE = "reserve"  # initiator → party: ReserveOrder → Reserved
    GIVE_BACK = "give_back"  # initiator → party: AttemptOrder → Ack
    START = "start"  # initiator → party: StartOrder → Ack
    STOP = "stop"  # initiator → party: StopOrder → Stopped
    PUBLISH = "publish"  # initiator → party: AttemptOrder → Published
    END = "end"  # initiator → party: EndOrder → Ack
    PROBE = "probe"  # initiator → party: JobOrder → Report, states only
    HISTORY = "history"  # initiator → party: HistoryOrder → History
    REPORT = "report"  # party → initiator: Report → Ack
    WITHDRAW = "withdraw"  # party → initiator: Withdrawal → Ack
    LEFT = "left"  # party → party: Withdrawal → Ack, where the initiator was not reached
