"""What an input of a job can name: a table, an output of a task before it, an output of an earlier job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from party.ids import JOB_ID_PATTERN, NAME_PATTERN
from runtime.errors import InvalidInput

_DOTTED = r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*"
_TABLE = re.compile(rf"{_DOTTED}/{_DOTTED}(?:@[1-9][0-9]{{0,8}})?")
_OUTPUT = re.compile(rf"(?:job:(?P<job>{JOB_ID_PATTERN})/)?(?P<task>{NAME_PATTERN})\.(?P<output>{NAME_PATTERN})")


class BadReference(InvalidInput):
    """The text names no table and no output."""

    code = "flow.bad_reference"


@dataclass(frozen=True)
class TableInput:
    """A table of the party's own store, perhaps with a version."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class OutputInput:
    """An output of a task of this job, or of another job."""

    task: str
    output: str
    job: str | None = None

    def __str__(self) -> str:
        before = f"job:{self.job}/" if self.job else ""
        return f"{before}{self.task}.{self.output}"

    def table(self, this_job: str) -> str:
        """The table's reference, once published."""
        return f"job-{(self.job or this_job).lower()}/{self.task}-{self.output}@1"

    def model(self, this_job: str) -> str:
        """The model's (or report's) reference, once published."""
        return f"{self.job or this_job}/{self.task}.{self.output}"


Reference = TableInput | OutputInput


def parse_reference(text: str) -> Reference:
    """The reference that a job.json writes as text. Raises BadReference."""
    if found := _OUTPUT.fullmatch(text):
        return OutputInput(found["task"], found["output"], found["job"])
    if _TABLE.fullmatch(text):
        return TableInput(text)
    raise BadReference(
        f"'{text[:80]}' is neither a table nor an output.",
        hint="Write namespace/name, namespace/name@version, task.output or job:ID/task.output.",
    )


def needs_of(inputs: Mapping[str, str | Mapping[str, str]]) -> set[str]:
    """The tasks of the same job whose outputs a task's `inputs` name."""
    needs = set()
    for value in inputs.values():
        for text in (value,) if isinstance(value, str) else value.values():
            try:
                reference = parse_reference(text)
            except BadReference:
                continue
            if isinstance(reference, OutputInput) and reference.job is None:
                needs.add(reference.task)
    return needs
