"""What REST shows beside jobs: tables, the party's state, tickets and sessions. Shared with the client.

Like `flow.views.jobs`, these are part of REST and of `--json`: their fields only ever grow.
"""

from __future__ import annotations

from pydantic import Field

from flow.views.jobs import View
from storage.facts import NO_ROLES, TableRoles


class Health(View):
    """Whether the party works; all that a caller without a token may know."""

    status: str = Field(default="ok", description="ok | failing")


class Submitted(View):
    """A job that was accepted."""

    id: str


class SubmittedAgain(Submitted):
    """A job that was submitted once more."""

    reused: tuple[str, ...] = Field(default=(), description="Tasks of the earlier job whose outputs it takes.")


class Validation(View):
    """What `validate` found."""

    valid: bool = Field(description="Whether this party would not refuse the job.")
    decision: str = Field(default="", description="What this party would answer: agree | ask (a person of it) | refuse")
    problems: tuple[dict[str, str], ...] = Field(default=(), description="Why it would refuse: path, message, hint.")
    others: tuple[str, ...] = Field(default=(), description="The parties that decide once the job is submitted.")


class ColumnView(View):
    """One column of a table."""

    name: str
    type: str


class TableView(View):
    """One version of a table of this party."""

    reference: str = Field(description="namespace/name@version")
    name: str
    version: int
    rows: int
    columns: tuple[ColumnView, ...]
    size_bytes: int
    partitions: int
    digest: str
    roles: TableRoles = Field(default=NO_ROLES, description="The columns that play a role; the rest are features.")
    owner: str = Field(
        default="", description="Who uploaded it or submitted its job; empty: nobody here; ?: not known."
    )
    created_at: str = ""
    remarks: tuple[str, ...] = Field(
        default=(), description="What an upload accepted all the same and its user should know, a sentence each."
    )
    damaged: str = Field(default="", description="Why it cannot be read; empty where it can.")


class HeadView(View):
    """The first rows of a table, as JSON values."""

    reference: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


class ArrayView(View):
    """One array of a model."""

    name: str
    type: str
    shape: tuple[int, ...]


class ModelView(View):
    """This party's part of a model, as one of its roles; `details` and `arrays` only where one model is asked for."""

    reference: str = Field(description="job/task.output")
    role: str
    kind: str
    digest: str
    size_bytes: int
    details: dict[str, object] = Field(default_factory=dict)
    arrays: tuple[ArrayView, ...] = ()
    damaged: str = Field(default="", description="Why it cannot be read; empty where it can.")


class ReportView(View):
    """A report: its kind, the version of that kind, and its content."""

    kind: str
    schema_version: int
    body: dict[str, object]


class RoomView(View):
    """Whether one service of the party answers."""

    room: str
    state: str = Field(description="ok | failing | down")
    text: str = ""


class PeerView(View):
    """What the gateway knows about a trusted party; why it is not up, and what a person can do about it."""

    party: str
    state: str = Field(description="up | down | refused | not-valid | no-address")
    addresses: tuple[str, ...] = ()
    last_seen_ms: int | None = None
    queued: int = 0
    problem: str = ""
    code: str = ""
    remedy: str = ""


class StrangerView(View):
    """A caller that was turned away lately: its certificate is on no card that is trusted here."""

    address: str
    claims: str = Field(default="", description="The party it says it is; nothing proves it.")
    count: int
    last_ms: int
    text: str = ""
    remedy: str = ""


class NodeView(View):
    """One host that runs executors, and how busy it is."""

    node: str
    state: str = "up"
    cores: int
    reserved_cores: int = 0
    memory_bytes: int
    gpus: int = 0
    cpu_percent: float = 0.0
    gpu_percent: tuple[float, ...] = ()
    memory_used_bytes: int = 0
    executors: int = 0


class PartyStatus(View):
    """One party as a whole."""

    party: str
    healthy: bool
    user: str = Field(description="Who asks.")
    roles: tuple[str, ...] = ()
    card_fingerprint: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    rooms: tuple[RoomView, ...] = ()
    peers: tuple[PeerView, ...] = ()
    strangers: tuple[StrangerView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    isolation: str = Field(default="", description="By host: how executors are kept from what they need not see.")
    limits: str = Field(default="", description="By host: how executors are held to their limits.")
    notes: tuple[str, ...] = Field(default=(), description="What a person of this party should know or decide.")


class Ticket(View):
    """A login link's ticket: good once, for a short time."""

    ticket: str
    valid_s: int


class Session(View):
    """A session of a user; `token` stands in for the user's own until it ends."""

    token: str
    user: str
    roles: tuple[str, ...]
    until_ms: int


class UserView(View):
    """A user of this party."""

    name: str
    roles: tuple[str, ...]
    has_password: bool = Field(default=False, description="Whether a password opens the account, beside the token.")


class UserToken(View):
    """A user's fresh token; it is shown once."""

    name: str
    token: str
