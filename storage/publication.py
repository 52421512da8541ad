"""What the outputs of tasks became, with the digests that they had when they were published.

published/<job>/<task>.json    written last, once everything that it names is visible
"""

from __future__ import annotations

from enum import StrEnum

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from runtime.bounds import Attempt
from runtime.text import first_problem
from storage.documents import check_schema
from storage.errors import Damaged
from storage.place import Place
from storage.refs import OutputRef, TableRef

ROOT = "published"
SCHEMA = 1


class OutputKind(StrEnum):
    """What an output is."""

    TABLE = "table"
    MODEL = "model"
    REPORT = "report"


class Published(BaseModel):
    """One output that is visible: whose, which, the name to open it by, and the digest of its content."""

    model_config = ConfigDict(frozen=True)

    address: str
    output: str
    kind: OutputKind
    reference: str
    digest: str  # SHA-256, hex

    @property
    def role(self) -> str:
        """The role of the address."""
        return self.address.partition(":")[0]


class Publication(BaseModel):
    """All that one attempt of a task published."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: int = Field(default=SCHEMA, alias="schema")
    attempt: Attempt
    outputs: list[Published]


class Publications:
    """The publications of a party's tasks."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def of(self, job: str, task: str) -> Publication | None:
        """What the task published; None before it did. Raises Damaged."""
        path = publication_file(job, task)
        try:
            data = self._place.read(path)
        except FileNotFoundError:
            return None
        check_schema(data, SCHEMA, path)
        try:
            return Publication.model_validate_json(data)
        except pydantic.ValidationError as error:
            raise Damaged(f"{path} does not say what was published: {first_problem(error)}.") from error

    def note(self, job: str, task: str, publication: Publication) -> None:
        """Record what a task published."""
        content = publication.model_dump_json(by_alias=True, indent=1).encode()
        self._place.write(publication_file(job, task), content)

    def check(self, ref: OutputRef, kind: OutputKind, role: str, digest: str) -> None:
        """Raise Damaged if a model or report was published with another digest."""
        found = self.of(ref.job, ref.task)
        for output in found.outputs if found is not None else []:
            if (output.output, output.kind, output.role) == (ref.output, kind, role):
                _compare(output, digest)

    def check_table(self, exact: TableRef, digest: str) -> None:
        """Raise Damaged if a job published this version of the table with another digest."""
        for name in self._place.files(f"{ROOT}/{exact.job}") if exact.job else []:
            found = self.of(exact.job or "", name.removesuffix(".json"))
            for output in found.outputs if found is not None else []:
                if output.reference == str(exact):
                    _compare(output, digest)


def publication_file(job: str, task: str) -> str:
    """Where it is recorded what a task published."""
    return f"{ROOT}/{job}/{task}.json"


def changed(what: str) -> Damaged:
    """The error for an output whose content is not what was published."""
    return Damaged(
        f"{what} is not what was published: its digest differs.",
        hint="Do not use it. Bring the store's files back from a backup, or delete it and run the job again.",
    )


def _compare(output: Published, digest: str) -> None:
    if output.digest != digest:
        raise changed(f"The {output.kind} {output.reference}")
