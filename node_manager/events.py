"""What an executor reports and how its end is told: one versioned record.

It is written once, as a line of the executor's event log; this document is what every floor passes on, up to Flow.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from runtime.bounds import Attempt, Count, Incarnation, TimeMs


class EventKind(StrEnum):
    """The closed list of what is told about an executor."""

    STARTED = "started"  # body: pid, started_s (order to first line of algorithm code)
    METRIC = "metric"  # body: name, step, value
    PROGRESS = "progress"  # body: done, total, what
    LOG = "log"  # body: level, text
    OUTPUT = "output"  # body: name, kind, reference, digest
    CHECKPOINT = "checkpoint"  # body: step
    SUCCEEDED = "succeeded"  # body: seconds, peak_bytes
    FAILED = "failed"  # body: code, message, hint, alike (an error the algorithm or platform raised)
    LOST = "lost"  # body: cause (exit status, signal, killed for memory, host gone)


class ExecutorEvent(BaseModel):
    """One line of an attempt's event log. (job, task, attempt, address, incarnation, sequence) is unique."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(default=1, alias="schema")
    job: str
    task: str
    attempt: Attempt
    address: str
    incarnation: Incarnation
    sequence: Count
    at_ms: TimeMs
    kind: EventKind
    body: dict[str, object]

    @property
    def log(self) -> str:
        """The name of the event log that it is of."""
        return log_name(self.job, self.task, self.attempt, self.address, self.incarnation)

    def document(self) -> bytes:
        """The event as JSON, on one line."""
        return self.model_dump_json(by_alias=True).encode()


def log_name(job: str, task: str, attempt: int, address: str, incarnation: int) -> str:
    """What the working folder and the event log of one incarnation are called: a relative path of two parts."""
    role, _, party = address.partition(":")
    return f"{job}/{task}-{attempt}-{role}-{party}-i{incarnation}"
