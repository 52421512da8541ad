"""One order: everything an executor needs to run one address's side of a task attempt. Pure data, versioned."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from party.ids import Address

LEAST_MEMORY_BYTES = 1 << 20


class Input(BaseModel):
    """Where one input lies: a table version or a model part in the party's store."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: str  # "table" | "model"
    reference: str  # "namespace/name@version" for a table, "job/task.output" for a model


class Resources(BaseModel):
    """Some cores, memory and GPUs: what an executor may use, what a host has, what is reserved on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cores: int = Field(default=1, ge=0)
    memory_bytes: int = Field(default=1 << 30, ge=0)
    gpus: int = Field(default=0, ge=0)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cores=self.cores + other.cores,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpus=self.gpus + other.gpus,
        )

    def __sub__(self, other: Resources) -> Resources:
        """What is left; `other` is within it."""
        return Resources(
            cores=self.cores - other.cores,
            memory_bytes=self.memory_bytes - other.memory_bytes,
            gpus=self.gpus - other.gpus,
        )

    def within(self, other: Resources) -> bool:
        """Whether all of it is there in `other`."""
        return self.cores <= other.cores and self.memory_bytes <= other.memory_bytes and self.gpus <= other.gpus


NOTHING = Resources(cores=0, memory_bytes=0, gpus=0)


def _enough(resources: Resources) -> Resources:
    if resources.cores < 1 or resources.memory_bytes < LEAST_MEMORY_BYTES:
        raise ValueError("an executor needs a core and a MiB of memory")
    return resources


class ResumePoint(BaseModel):
    """A checkpoint of an earlier job: of the same task and address, after a step of an attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    job: str
    attempt: int = Field(ge=1)
    step: int = Field(ge=0)


class OrderHead(BaseModel):
    """What is read of an order whose executor runs already: orders of other releases say it too.

    Attributes:
        job, task, attempt, incarnation: Which try this is; an older incarnation is refused everywhere.
        address: Who the executor is.
        resources: What it may use.
        reservation: By which name its Cluster Manager knows the room that it runs in; none in orders of older releases.
    """

    model_config = ConfigDict(frozen=True)
    job: str
    task: str
    attempt: int
    incarnation: int
    address: str
    resources: Annotated[Resources, AfterValidator(_enough)]
    reservation: str = ""


class Order(OrderHead):
    """Start one executor.

    Attributes:
        addresses: Everybody in the task.
        component: `homo_lr@1`; code_digest: what the manifest says its source must hash to.
        parameters: JSON object already validated against the component's model.
        inputs: By input name; an optional input that the job leaves out is absent.
        outputs: Names of the outputs this role makes.
        seed: The task's common seed, hex, 32 bytes.
        gateway: Address of the gateway's local door; token: for this attempt and address only.
        store: The party's store (a folder or URI).
        models: By input, the kind of the model bound to it, of all that the task has.
        rows: By input and address, how many rows tables have at most, as far as all parties were told.
        resume: What the attempt goes on from while it has no checkpoint of its own; without it, it starts afresh.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(default=1, alias="schema")
    addresses: tuple[str, ...]
    component: str
    code_digest: str
    parameters: dict[str, object]
    inputs: dict[str, Input]
    outputs: tuple[str, ...]
    seed: str
    gateway: str
    token: str
    store: str
    models: dict[str, str] = {}
    rows: dict[str, dict[str, int]] = {}
    resume: ResumePoint | None = None

    def told_rows(self) -> dict[str, dict[Address, int]]:
        """The rows, by address."""
        return {name: {Address.parse(at): count for at, count in counts.items()} for name, counts in self.rows.items()}
