"""What REST shows of the queue for room; as in `flow.views.jobs`, fields only ever grow."""

from __future__ import annotations

from pydantic import Field

from flow.views.jobs import View


class QueuedExecutor(View):
    """One executor of an attempt at this party."""

    address: str
    cores: int
    memory_bytes: int
    gpus: int
    node: str = Field(default="", description="Where it has room; empty: it waits.")


class QueueEntry(View):
    """An attempt that has room at this party, or waits for it."""

    state: str = Field(description="running | held (room that is not used yet) | waiting")
    job: str
    task: str
    attempt: int
    name: str = ""
    initiator: str = ""
    user: str = ""
    priority: int = Field(description="As far as it counts at this party.")
    since_ms: int | None = Field(
        default=None, description="When the job began; of one that waits, when this party first heard of it."
    )
    executors: tuple[QueuedExecutor, ...] = ()
    behind: tuple[str, ...] = Field(default=(), description="The other jobs that wait and get room before it.")
    why: str = Field(default="", description="Why it has no room now; empty: it gets it when it asks next.")
    do: str = Field(default="", description="What would help.")
