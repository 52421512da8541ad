"""Which file stands for which table of a job that runs here, as `--data` says it: checked and read like an upload."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flow.errors import JobInvalid, Problem
from flow.job.binding import BoundJob
from flow.job.references import BadReference, TableInput, parse_reference
from runtime.errors import InvalidInput
from runtime.suggestions import did_you_mean
from storage.client import NO_ROLES, SourceOptions, Store, TableRoles, typed_column

OPTIONS = (
    "id", "label", "weight", "match-id", "type", "features", "drop",
    "encoding", "delimiter", "decimal", "null", "columns", "format",
)  # fmt: skip
NO_HEADER = "no-header"
FORM = "[PARTY:]NAMESPACE/NAME=FILE[,OPTION=VALUE …]"
_OPTION = re.compile(rf",(?=(?:{'|'.join(OPTIONS)})=|{NO_HEADER}(?:,|$))")

Place = tuple[str, str]
"""A party, and a table as the job names it."""


class BadDataFile(InvalidInput):
    """What `--data` says is of another form, or of a table that the job does not read."""

    code = "flow.bad_data_file"


@dataclass(frozen=True)
class DataFile:
    """A file that stands for a table.

    Attributes:
        table: As the job names it.
        party: Whose table; None: that of every party that has no file of its own for it.
        file: Its path or URI.
        form, options: As for an upload.
    """

    table: str
    party: str | None
    file: str
    form: str | None
    options: SourceOptions

    @property
    def name(self) -> str:
        """As it is typed: `PARTY:NAMESPACE/NAME`."""
        return f"{self.party}:{self.table}" if self.party else self.table


def data_file(text: str, otherwise: TableRoles = NO_ROLES) -> DataFile:
    """`[PARTY:]NAMESPACE/NAME=FILE[,OPTION=VALUE …]`; `otherwise` are the roles of columns for those left out.

    Raises:
        BadDataFile: It has another form.
        BadSource: An option of it cannot be used.
    """
    first, *said = _OPTION.split(text)
    name, _, file = first.partition("=")
    party, _, table = name.rpartition(":")
    if not file or not _is_table(table):
        raise BadDataFile(f"--data '{text[:80]}' does not name a table and its file.", hint=f"Write --data {FORM}.")
    given: dict[str, list[str]] = {}
    for option in said:
        key, _, value = option.partition("=")
        given.setdefault(key, []).append(value)

    def one(key: str, left_out: str | None = None) -> str | None:
        return given[key][-1] or None if key in given else left_out

    return DataFile(
        table=table,
        party=party or None,
        file=file,
        form=one("format"),
        options=SourceOptions(
            delimiter=one("delimiter"),
            encoding=one("encoding"),
            decimal=one("decimal"),
            no_header=NO_HEADER in given,
            columns=tuple(given.get("columns", ())),
            null_values=tuple(given.get("null", ())),
            column_types=dict(typed_column(text) for text in given.get("type", ())),
            features=tuple(given.get("features", ())),
            drop=tuple(given.get("drop", ())),
            roles=TableRoles(
                id=one("id", otherwise.id),
                label=one("label", otherwise.label),
                weight=one("weight"),
                match_id=one("match-id"),
            ),
        ),
    )


def files_of(job: BoundJob, files: Sequence[DataFile]) -> dict[Place, DataFile]:
    """The file of each table that a party of the job reads.

    Raises:
        BadDataFile: A file is not needed, or two are given for one table.
        JobInvalid: A table has none.
    """
    given = {(file.party, file.table): file for file in files}
    for file in files:
        if given[file.party, file.table] is not file:
            raise BadDataFile(f"--data {file.name} is given twice.")
    found: dict[Place, DataFile] = {}
    problems: list[Problem] = []
    for place, path in _read(job).items():
        party, table = place
        known = given.get((party, table)) or given.get((None, table))
        if known is not None:
            found[place] = known
        else:
            hint = f"Add --data {table}=FILE, or --data {party}:{table}=FILE for {party} alone."
            problems.append(Problem(path=path, message=f"no file is given for {table} of {party}.", hint=hint))
    for file in files:
        if file not in found.values():
            names = [name for party, table in _read(job) for name in (table, f"{party}:{table}")]
            raise BadDataFile(f"--data {file.name}: no task of the job reads it.", hint=did_you_mean(file.name, names))
    if problems:
        raise JobInvalid(problems)
    return found


def take_in(file: DataFile, store: Store, progress: Callable[[int, int], None]) -> tuple[str, list[str]]:
    """Store a file as a table; its reference, and what its user should hear of it. Raises what `upload` raises."""
    remarks: list[str] = []
    manifest = store.tables.upload(
        file.file,
        file.table.partition("@")[0],
        format=file.form,
        options=file.options,
        progress=progress,
        remark=remarks.append,
    )
    return manifest.reference, remarks


def _read(job: BoundJob) -> Mapping[Place, str]:
    """The tables that the parties of the job read, each with where the job first says so."""
    found: dict[Place, str] = {}
    for task in job.tasks.values():
        for address, side in task.sides.items():
            for name, reference in side.inputs.items():
                if isinstance(reference, TableInput):
                    found.setdefault((address.party, reference.name), f"tasks.{task.name}.inputs.{name}")
    return found


def _is_table(text: str) -> bool:
    try:
        return isinstance(parse_reference(text), TableInput)
    except BadReference:
        return False
