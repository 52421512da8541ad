"""What an executor reports and how its end is told: one versioned record, and what each kind of it may say.

It is written once, as a line of the executor's event log; this document is what every floor passes on, up to Flow. An
executor's words are checked here by whoever reads its log, or is told of it: numbers have bounds, text is cut and
loses its control characters, and what is no such body is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from runtime.bounds import Attempt, Count, Finite, Incarnation, TimeMs
from runtime.text import is_printable, printable

MAX_NAME_CHARS = 100
MAX_WORD_CHARS = 300
MAX_SENTENCE_CHARS = 2000
MAX_TEXT_CHARS = 4000
MAX_GROUPS = 100
_TAIL_SHARE = 0.7  # of a text that is cut in its middle: what is at the end of a traceback says most


class EventKind(StrEnum):
    """The closed list of what is told about an executor; what each says is in its body."""

    STARTED = "started"
    METRIC = "metric"
    PROGRESS = "progress"
    LOG = "log"
    OUTPUT = "output"
    CHECKPOINT = "checkpoint"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # an error the algorithm or platform raised
    LOST = "lost"  # it ended without a last word


FINAL = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.LOST})  # after which a log tells nothing


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


def read_event(document: bytes) -> ExecutorEvent:
    """An event from its document, with its body as it may be stored and shown. Raises ValueError for what is none."""
    event = ExecutorEvent.model_validate_json(document)
    body = checked(event.kind, event.body)
    if event.schema_version != 1 or body is None:
        raise ValueError(f"no event of kind '{event.kind}' in schema 1")
    return event.model_copy(update={"body": body})


def checked(kind: EventKind, body: Mapping[str, object]) -> dict[str, object] | None:
    """The body as it may be stored and shown, or None if it is none of its kind."""
    try:
        fields = _BODIES[kind].model_validate(body).model_dump(exclude_none=True)
    except ValidationError:
        return None
    return {name: plain(value) for name, value in fields.items()}


def plain(value: object) -> object:
    """JSON has no NaN and no infinity: they travel as text, which `float` reads."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def shortened(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """The text, or its beginning and its end with the number of characters left out between them."""
    if len(text) <= limit:
        return text
    gap = f"\n… {len(text) - limit} characters left out …\n"
    tail = int((limit - len(gap)) * _TAIL_SHARE)
    return text[: limit - len(gap) - tail] + gap + text[-tail:]


def _plain_name(text: str) -> str:
    if not is_printable(text):
        raise ValueError("a name has no control characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_plain_name)]
Word = Annotated[str, AfterValidator(lambda text: printable(text[:MAX_WORD_CHARS]))]
Sentence = Annotated[str, AfterValidator(lambda text: printable(text[:MAX_SENTENCE_CHARS]))]
Text = Annotated[str, AfterValidator(lambda text: printable(shortened(text), lines=True))]
Level = Annotated[str, Field(max_length=20), AfterValidator(_plain_name)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Started(_Body):
    pid: Count
    started_s: Finite  # from the order to the first line of algorithm code


class _Metric(_Body):
    name: Name
    step: Count
    value: float


class _Progress(_Body):
    done: Count
    total: Count
    what: Word


class _Log(_Body):
    level: Level
    text: Text


class _Output(_Body):
    name: Name
    kind: Name
    reference: Word
    digest: Word = ""


class _Checkpoint(_Body):
    step: Count


class _Succeeded(_Body):
    seconds: Finite = 0.0
    peak_bytes: Count = 0


class _Failed(_Body):
    code: Name
    message: Sentence
    hint: Sentence = ""
    alike: Annotated[list[list[Name]], Field(max_length=MAX_GROUPS)] | None = None


class _Lost(_Body):
    cause: Word
    text: Sentence = ""
    signal: Count | None = None
    exit_code: Count | None = None
    used: Count | None = None
    limit: Count | None = None


_BODIES: dict[EventKind, type[_Body]] = {
    EventKind.STARTED: _Started,
    EventKind.METRIC: _Metric,
    EventKind.PROGRESS: _Progress,
    EventKind.LOG: _Log,
    EventKind.OUTPUT: _Output,
    EventKind.CHECKPOINT: _Checkpoint,
    EventKind.SUCCEEDED: _Succeeded,
    EventKind.FAILED: _Failed,
    EventKind.LOST: _Lost,
}
