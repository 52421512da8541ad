"""The names of stored things: `namespace/name@version` for a table, `job/task.output` for a model or report."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from storage.errors import BadReference

JOB_NAMESPACE = "job-"  # namespaces that begin so belong to the outputs of jobs
MAX_TABLE_NAME_CHARS = 200
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
OUTPUT_PATTERN = r"([A-Za-z0-9][A-Za-z0-9_-]*)/([a-z][a-z0-9_-]*)\.([a-z][a-z0-9_-]*)"
MAX_OUTPUT_CHARS = 300


@dataclass(frozen=True, order=True)
class TableRef:
    """A table, or with a version exactly one of its immutable versions."""

    namespace: str
    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.table if self.version is None else f"{self.table}@{self.version}"

    @property
    def table(self) -> str:
        """The reference without its version."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_of_a_job(self) -> bool:
        """Whether the table is the output of a job, which nobody else may write."""
        return self.job is not None

    @property
    def job(self) -> str | None:
        """The job whose output the table is; ids are upper-case, names of tables lower-case."""
        found = self.namespace.removeprefix(JOB_NAMESPACE)
        return None if found == self.namespace else found.upper()

    def at(self, version: int) -> TableRef:
        """The reference to one version."""
        return replace(self, version=version)

    @staticmethod
    def parse(text: str | TableRef) -> TableRef:
        """`ns/name` or `ns/name@3`. Raises BadReference."""
        if isinstance(text, TableRef):
            return text
        table, at, version = text.partition("@")
        namespace, _, name = table.partition("/")
        longest = max(len(namespace), len(name))
        if longest > MAX_TABLE_NAME_CHARS:
            raise BadReference(
                f"'{text[:40]}…' is too long for the name of a table: one part has {longest} letters.",
                hint=f"Write namespace/name, each of at most {MAX_TABLE_NAME_CHARS} letters.",
            )
        legal = all(_NAME.fullmatch(part) for part in (namespace, name))
        if not legal or (at and not _VERSION.fullmatch(version)):
            raise BadReference(
                f"'{text[:80]}' is not the name of a table.",
                hint="Write namespace/name or namespace/name@version, in lower-case letters, digits, '-', '_' and '.'.",
            )
        return TableRef(namespace, name, int(version) if at else None)


@dataclass(frozen=True, order=True)
class OutputRef:
    """An output of a task of a job."""

    job: str
    task: str
    output: str

    def __str__(self) -> str:
        return f"{self.job}/{self.task}.{self.output}"

    @property
    def table(self) -> TableRef:
        """The table that such an output becomes when it is published."""
        return TableRef(job_namespace(self.job), f"{self.task}-{self.output}")

    @staticmethod
    def parse(text: str | OutputRef) -> OutputRef:
        """`job/task.output`, with or without `job:` before it. Raises BadReference."""
        if isinstance(text, OutputRef):
            return text
        match = re.fullmatch(OUTPUT_PATTERN, text.removeprefix("job:"))
        if match is None:
            raise BadReference(f"'{text[:80]}' is not an output of a task.", hint="Write job/task.output.")
        return OutputRef(*match.groups())


def job_namespace(job: str) -> str:
    """The namespace of the tables that a job's tasks put out."""
    return f"{JOB_NAMESPACE}{job.lower()}"
