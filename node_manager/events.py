"""What an executor reports and how its end is told: one versioned record, appended to a log and streamed upwards."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from runtime.bounds import Attempt, Count, Incarnation, TimeMs


class EventKind(StrEnum):
    """The closed list of news about an executor."""

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
