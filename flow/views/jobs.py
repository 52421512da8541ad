"""What Flow shows of a job: frozen records, the same in the service, in REST responses and in the client.

Pure data; the field names are part of REST and of `--json`, so they only ever grow.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from flow.job.states import AttemptState, JobState
from flow.job.texts import ShownLabel, ShownSentence
from party.settings import PolicySettings
from storage.facts import NO_ROLES, TableRoles

MOST_ROWS, MOST_EVENTS = 100_000, 10_000  # metrics or log lines, events in one answer; more by the last one's id


ELSEWHERE, NOT_RUN = "elsewhere", "not-run"  # states of a task beside those of its attempts
UNKNOWN = "unknown"
SAID = {  # by decision
    "": "not asked yet",
    "agree": "agrees",
    "ask": "asks a person",
    "refuse": "refuses",
    UNKNOWN: "its answer is not known here",
}


class View(BaseModel):
    """The base of every record: immutable, unknown keys of a newer Flow are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")


class ErrorView(View):
    """Why a job or one side of an attempt failed."""

    code: ShownLabel
    message: ShownSentence
    hint: ShownSentence = ""
    party: ShownLabel = ""  # where it happened

    @property
    def text(self) -> str:
        """`party: message hint [code]`; the party is named once."""
        named = re.match(rf"(?:[a-z]+:)?{re.escape(self.party)}(?![\w-])", self.message) if self.party else True
        hint = f" {self.hint}" if self.hint else ""
        return f"{'' if named else f'{self.party}: '}{self.message}{hint} [{self.code}]"


class Waiting(View):
    """One thing a job waits for: who, what, since when (milliseconds of wall time)."""

    who: str  # a party id
    what: str  # "person" | "pause" | "party" | "gateway" | "room", or a code of `flow.views.stalls`
    text: str
    since_ms: int
    do: str = ""  # what people of this party are to do about it, if it waits for them


class SideView(View):
    """One address's side of an attempt."""

    address: str
    party: str
    role: str
    state: AttemptState
    started_ms: int | None = None
    ended_ms: int | None = None
    done: int | None = None  # progress: `done` of `total`
    total: int | None = None
    error: ErrorView | None = None


class AttemptView(View):
    """One try of a task; it may go on from a step of an earlier one."""

    attempt: int
    state: AttemptState
    from_attempt: int | None = None
    from_step: int | None = None
    created_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None
    error: ErrorView | None = None
    sides: tuple[SideView, ...] = ()


class TaskView(View):
    """One task: `state` is that of its last attempt, "published" is told apart.

    Before the first attempt it is "waiting", or "not-run" once the job is over. A task of a job that another party
    leads, in which we have no side, is "elsewhere": nothing of it is known here.
    """

    name: str
    component: str
    state: str
    needs: tuple[str, ...] = ()
    published: bool = False  # outputs are visible at every party
    attempts: tuple[AttemptView, ...] = ()


class PartyView(View):
    """What one party said to the proposal."""

    party: str
    roles: tuple[str, ...]
    decision: str  # "" (not asked yet) | "agree" | "ask" | "refuse" | "unknown" (here, of a job that another leads)
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    by: str = ""  # of our own: the person who decided, where one was asked
    note: str = ""  # theirs, for our own people
    unconfirmed: str = ""  # the job has ended, and why the party has not confirmed that, as its initiator knows


class JobSummary(View):
    """One line of a job list."""

    id: str
    name: str
    initiator: str
    user: str
    state: JobState
    outcome: str = ""  # "complete" | "fewer parties" once it succeeded
    submitted_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None
    tasks_done: int = 0
    tasks_total: int = 0  # of a job that another party leads, those in which we have a side
    waiting_for: tuple[Waiting, ...] = ()
    left: str = ""  # why this party left the job, if it did


class RefusedByPolicy(View):
    """How many proposals of other parties the policy of this one refused."""

    count: int


class NoteView(View):
    """What a person of this party noted on a job."""

    user: str
    at_ms: int
    text: str


class JobView(JobSummary):
    """Everything about a job except its rows of metrics, logs and events."""

    error: ErrorView | None = None
    own_error: ErrorView | None = None  # what failed at this party, in full, where `error` tells of another
    parties: tuple[PartyView, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    notes: tuple[NoteView, ...] = ()
    manifest_digest: str = ""
    closed: bool = False  # every party has cleaned up
    spec: dict[str, object]  # the job.json as submitted
    last_event: int = 0  # the id of its newest event: its stream goes on from there

    @property
    def resumed(self) -> str:
        """The job from whose checkpoints this one goes on; empty if there is none."""
        settings = self.spec.get("settings")
        return str(settings.get("resume") or "") if isinstance(settings, dict) else ""

    def warned(self) -> dict[str, list[str]]:
        """Each warning once, with the parties that said it in their answers."""
        found: dict[str, list[str]] = {}
        for party in self.parties:
            for text in party.warnings:
                found.setdefault(text, []).append(party.party)
        return found


class MetricRow(View):
    """One number of one round."""

    id: int
    task: str
    attempt: int
    party: str
    role: str
    name: str
    step: int
    value: float
    at_ms: int = 0


class LogRow(View):
    """One log line of an executor."""

    id: int
    task: str
    attempt: int
    party: str
    role: str
    incarnation: int
    sequence: int
    at_ms: int
    level: str
    text: str


class OutputRow(View):
    """One published output: a table reference or `job/task.output`."""

    task: str
    party: str
    role: str
    name: str
    kind: str  # "table" | "model" | "report"
    reference: str
    digest: str = ""


class ProgressRow(View):
    """How far one side of an attempt is."""

    task: str
    attempt: int
    party: str
    role: str
    done: int
    total: int
    what: str
    at_ms: int


class EventRow(View):
    """One move: `id` counts up at this party, `hlc` orders events across parties.

    Kinds: `job.STATE`, `attempt.STATE`, `side.STATE`, `party.DECISION`, `party.absent`, `party.hindered` (it answers
    that it cannot now; the body tells the code), `party.back`, `party.left`, `task.published`, `task.resumes` (the body
    tells job, attempt, step; empty: the task starts afresh), `job.closed`, `job.cleaned` (what is kept of it is
    deleted; the body tells for which user, and what), `metrics.recorded`, `logs.recorded`, `progress.recorded`,
    `executor.restarted` (of an own one; the body tells address, incarnation, cause, text), `gateway.down`,
    `gateway.back` (the own one), `party.stalled` (its side waits; the body tells `codes`), `party.goes_on`. `metrics`
    are the numbers that a `metrics.recorded` tells of: in the stream of one job, for who may read them; elsewhere they
    are asked for by `since`.
    """

    id: int
    hlc: str
    kind: str
    job: str
    task: str = ""
    attempt: int = 0
    party: str = ""
    body: dict[str, object] = {}
    metrics: tuple[MetricRow, ...] = ()


class ProposedInput(View):
    """One table or model of ours that a job wants: what it is here, or why it is not there."""

    task: str
    address: str
    input: str
    kind: str  # "table" | "model" | "report"
    name: str  # as the job names it
    reference: str = ""  # what it is here: the exact version
    rows: int | None = None  # of a table
    tells_rows: bool = False  # whether all parties of the job are told how many
    roles: TableRoles = NO_ROLES  # of a table: the names of the columns that play one
    holders: tuple[str, ...] = ()  # of a model: the parties that hold a part of it
    owner: str = ""  # the user whom it belongs to
    made_of: tuple[str, ...] = ()  # our tables and models that it was made of, by however many steps
    problem: str = ""


class ProposedParameter(View):
    """One parameter that is not what it is by default."""

    task: str
    name: str
    value: object
    default: object
    address: str = ""  # "": at every address of the task


class ProposedLine(View):
    """One line of a task's conversation: what is said, by whom, to whom, how well hidden."""

    task: str
    tag: str
    purpose: str
    senders: tuple[str, ...]  # addresses
    receivers: tuple[str, ...]
    protection: str
    means: str  # the protection in plain words
    max_bytes: int | None = None  # of one message; None: it follows from rows that parties tell once all agree
    we: str = ""  # "send" | "receive" | "both" | "": what our party does with it


class Learning(View):
    """What one role of a task learns of other parties."""

    task: str
    role: str
    parties: tuple[str, ...]
    says: str


class ProposalView(View):
    """A proposed job as the person who decides about it should see it, as it would be decided now."""

    job: str
    name: str
    initiator: str
    user: str
    submitted_ms: int
    party: str  # ours
    roles: dict[str, tuple[str, ...]]
    components: dict[str, str]  # by task
    waits: bool  # whether it waits for a person of ours
    resumes: str = ""  # the job that it goes on from
    inputs: tuple[ProposedInput, ...] = ()
    parameters: tuple[ProposedParameter, ...] = ()
    conversation: tuple[ProposedLine, ...] = ()
    learns: tuple[Learning, ...] = ()
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()  # why it would be refused now, whoever approves
    by: str = ""  # who of our people decided, if one was asked and has
    note: str = ""  # theirs, told to nobody else
    digest: str = ""  # of what is proposed, of what is shown of it but who decided and lack of room, and of our rules


class PolicyView(PolicySettings):
    """What this party agrees to."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    notes: tuple[str, ...] = Field(default=(), description="Names in it that fit nothing here, as sentences.")
