"""What is known of a table without opening it: its columns, rows, digest, files and owner."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from runtime.bounds import Count
from runtime.text import first_problem
from storage.documents import check_schema
from storage.errors import Damaged
from storage.facts import NO_ROLES, TableRoles
from storage.refs import TableRef

SCHEMA = 1


class Column(NamedTuple):
    """A column's name and its Arrow type as text."""

    name: str
    type: str


class Partition(NamedTuple):
    """One file of a table: its path under the table's folder, its rows, its size, its digest."""

    file: str
    rows: Count
    bytes: Count
    sha256: str


class TableManifest(BaseModel):
    """One immutable version of a table.

    Attributes:
        name, version: `namespace/name`, `3`.
        columns: Name and Arrow type of each column, in order.
        digest: SHA-256 of the canonical content: columns and values, whatever the partitions or the source's format.
        partitions: The files, in order of rows.
        origin: The attempt and address that made it, for the outputs of jobs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str
    version: Count
    columns: tuple[Column, ...]
    rows: Count
    digest: str
    partitions: tuple[Partition, ...]
    roles: TableRoles = NO_ROLES
    owner: str = ""
    created_at: datetime
    origin: str = ""

    @property
    def ref(self) -> TableRef:
        """The reference to exactly this version."""
        return TableRef.parse(self.name).at(self.version)

    @property
    def reference(self) -> str:
        """`namespace/name@version`."""
        return f"{self.name}@{self.version}"

    def written_in(self, job: str) -> str:
        """As the job.json of a job names it: `task.output` of its own, `job:ID/task.output` of others, or the table."""
        made_in, task = self.ref.job, self.origin.partition("/")[2].partition("/")[0]
        output = self.ref.name.removeprefix(f"{task}-")
        if made_in is None or not task or output == self.ref.name:
            return self.reference
        return f"{task}.{output}" if made_in == job else f"job:{made_in}/{task}.{output}"

    @property
    def features(self) -> list[str]:
        """Names of the columns that play no role."""
        others = set(self.roles.columns.values())
        return [column.name for column in self.columns if column.name not in others]

    @property
    def size_bytes(self) -> int:
        """Size of all partitions."""
        return sum(partition.bytes for partition in self.partitions)

    def to_json(self) -> bytes:
        """The bytes of the manifest's file."""
        return self.model_dump_json(by_alias=True, indent=1).encode()

    @staticmethod
    def from_json(data: bytes, what: str) -> TableManifest:
        """A manifest from its file's bytes. Raises SchemaVersionUnknown, Damaged naming `what`."""
        check_schema(data, SCHEMA, what)
        try:
            return TableManifest.model_validate_json(data)
        except pydantic.ValidationError as error:
            raise Damaged(f"{what} is not a table manifest: {first_problem(error)}.") from error
