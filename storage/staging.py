"""Results of a task attempt before the task has succeeded everywhere, and how they become visible.

staging/<job>/<task>/<attempt>/<role>-<party>/tables|models|reports/<output>
published/<job>/<task>.json       what the task's outputs became; written last
reports/<job>/<task>.<output>/<role>.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pydantic
from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from party.canonical import canonical_json
from party.clock import Clock, SystemClock
from party.ids import Address, AttemptId
from storage.columns import check_names
from storage.errors import AlreadyPublished, Damaged, ReportNotFound
from storage.manifest import TableManifest, check_schema
from storage.models import Model, ModelStore, save_model
from storage.place import Place
from storage.refs import OutputRef
from storage.tables import ROOT as TABLES
from storage.tables import TableStore
from storage.writer import TablePlan, TableWriter, WrittenTable

ROOT = "staging"
PUBLISHED = "published"
REPORTS = "reports"
SCHEMA = 1
_MANIFEST = "manifest.json"


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
    digest: str = ""  # SHA-256, hex; empty only for what an earlier release published


class Report(BaseModel):
    """A JSON report of a versioned kind."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    kind: str
    schema_: int = Field(alias="schema")
    body: dict[str, Any]


class _Publication(BaseModel):
    schema_: int = Field(default=SCHEMA, alias="schema")
    attempt: int
    outputs: list[Published]

    model_config = ConfigDict(populate_by_name=True)


class StagedOutputs:
    """Where one address of an attempt puts its results; an output written again replaces what was staged."""

    def __init__(self, place: Place, attempt: AttemptId, address: Address, clock: Clock) -> None:
        self._place = place
        self._folder = f"{_folder(attempt)}/{address.role}-{address.party}"
        self._origin = f"{attempt}/{address}"
        self._name = OutputRef(attempt.job, attempt.task, "output")
        self._clock = clock

    def table_writer(
        self, name: str, schema: pa.Schema, *, id_column: str | None = None, label_column: str | None = None
    ) -> TableWriter:
        """A writer for an output table."""
        folder = f"{self._folder}/tables/{name}"
        data = f"{folder}/data/{ULID()}"
        plan = TablePlan(
            schema=schema, id_column=id_column, label_column=label_column, origin=self._origin, unique_ids=False
        )

        def commit(written: WrittenTable) -> TableManifest:
            manifest = TableManifest(
                name=OutputRef(self._name.job, self._name.task, name).table.table,
                version=1,
                columns=written.columns,
                rows=written.rows,
                digest=written.digest,
                partitions=written.partitions,
                id_column=id_column,
                label_column=label_column,
                created_at=self._clock.now(),
                origin=self._origin,
            )
            self._place.write(f"{folder}/{_MANIFEST}", manifest.to_json())
            for other in self._place.folders(f"{folder}/data"):
                if other != data.rpartition("/")[2]:
                    self._place.remove(f"{folder}/data/{other}")
            return manifest

        return TableWriter(self._place, data, plan, commit)

    def save_model(self, name: str, model: Model) -> None:
        """Stage this address's part of a model."""
        save_model(self._place.inside(f"{self._folder}/models/{name}"), model)

    def save_report(self, name: str, kind: str, schema: int, body: Mapping[str, object]) -> None:
        """Stage a report. Raises NotCanonical if the body is not JSON."""
        content = canonical_json({"kind": kind, "schema": schema, "body": dict(body)})
        self._place.write(f"{self._folder}/reports/{name}.json", content)


class Staging:
    """The staged and the published results of tasks."""

    def __init__(self, where: str | Path | Place, clock: Clock | None = None) -> None:
        self._place = Place.of(where)
        self._clock = clock or SystemClock()
        self._tables = TableStore(self._place, self._clock)
        self._models = ModelStore(self._place)

    def outputs(self, attempt: AttemptId, address: Address) -> StagedOutputs:
        """Where an address of an attempt puts its results."""
        return StagedOutputs(self._place, attempt, address, self._clock)

    def publish(self, job: str, task: str, attempt: int) -> list[Published]:
        """Make everything that the attempt staged visible; doing it again returns the same.

        Raises:
            AlreadyPublished: Another attempt's results are visible already.
        """
        done = self._publication(job, task)
        if done is not None and done.attempt != attempt:
            raise AlreadyPublished(f"Task {job}/{task} has published the results of attempt {done.attempt} already.")
        if done is None:
            folder = f"{ROOT}/{job}/{task}/{attempt}"
            outputs = self._moved(job, task, folder)
            done = _Publication(attempt=attempt, outputs=outputs)
            self._place.write(f"{PUBLISHED}/{job}/{task}.json", done.model_dump_json(by_alias=True, indent=1).encode())
        self._place.remove(f"{ROOT}/{job}/{task}")
        return done.outputs

    def published(self, job: str, task: str) -> list[Published]:
        """What the task's outputs became; empty before it is published."""
        done = self._publication(job, task)
        return done.outputs if done is not None else []

    def discard(self, job: str, task: str | None = None, attempt: int | None = None) -> None:
        """Delete what is staged for an attempt, for a task, or for a whole job."""
        parts = [ROOT, job] + ([task] if task else []) + ([str(attempt)] if task and attempt is not None else [])
        self._place.remove("/".join(parts))

    def report(self, ref: str | OutputRef, role: str | None = None) -> Report:
        """A published report; of several roles' reports the named one, else the first. Raises ReportNotFound."""
        target = OutputRef.parse(ref)
        roles = [name.removesuffix(".json") for name in self._place.files(_report_folder(target))]
        for found in roles:
            if role in (None, found):
                return _read_report(self._place.read(f"{_report_folder(target)}/{found}.json"), str(target))
        raise ReportNotFound(f"There is no report '{target}'" + (f" as {role}" if role else "") + " here.")

    def _moved(self, job: str, task: str, folder: str) -> list[Published]:
        """Move every output to its visible place. What an interrupted call has moved is found where it went."""
        outputs = []
        plan = self._plan(folder)
        for entry in plan:
            address, kind, output = entry
            ref = OutputRef(job, task, output)
            role = address.partition(":")[0]
            staged = f"{folder}/{address.replace(':', '-')}/{kind}s/{output}"
            if kind == OutputKind.TABLE:
                table = self._publish_table(ref, staged, f"{job}/{task}/{folder.rpartition('/')[2]}/{address}")
                reference, digest = table.reference, table.digest
            elif kind == OutputKind.MODEL:
                self._models.adopt(ref, role, staged)
                reference, digest = str(ref), self._models.info(ref, role).digest
            else:
                reference, digest = (
                    str(ref),
                    self._publish_report(f"{staged}.json", f"{_report_folder(ref)}/{role}.json"),
                )
            outputs.append(
                Published(address=address, output=output, kind=OutputKind(kind), reference=reference, digest=digest)
            )
        return outputs

    def _plan(self, folder: str) -> list[tuple[str, str, str]]:
        """What there is to publish, in address order; noted before the first move, so that a second call knows it."""
        noted = f"{folder}/plan.json"
        if self._place.exists(noted):
            return [(address, kind, output) for address, kind, output in json.loads(self._place.read(noted))]
        found = []
        for name in self._place.folders(folder):
            role, _, party = name.partition("-")
            for kind in OutputKind:
                here = f"{folder}/{name}/{kind}s"
                for output in self._staged(here, kind):
                    found.append((f"{role}:{party}", str(kind), output))
        found.sort(key=lambda entry: (Address.parse(entry[0]), entry[1:]))
        self._place.write(noted, json.dumps(found).encode())
        return found

    def _staged(self, folder: str, kind: OutputKind) -> list[str]:
        """Outputs of a kind that are whole."""
        if kind is OutputKind.REPORT:
            return [name.removesuffix(".json") for name in self._place.files(folder)]
        whole = _MANIFEST if kind is OutputKind.TABLE else "model.json"
        return [name for name in self._place.folders(folder) if self._place.exists(f"{folder}/{name}/{whole}")]

    def _publish_report(self, staged: str, visible: str) -> str:
        """Copy a report to where it is visible, if that is not done; returns its digest."""
        if self._place.exists(staged):
            self._place.write(visible, self._place.read(staged))
        return sha256(self._place.read(visible)).hexdigest()

    def _publish_table(self, ref: OutputRef, staged: str, origin: str) -> TableManifest:
        visible = self._tables.made_by(ref.table, origin)
        if visible is not None:
            return visible
        manifest = TableManifest.from_json(self._place.read(f"{staged}/{_MANIFEST}"), f"{staged}/{_MANIFEST}")
        check_names([column.name for column in manifest.columns], f"Output {ref}")  # the executor wrote it
        for data in self._place.folders(f"{staged}/data"):
            self._place.move(f"{staged}/data/{data}", f"{TABLES}/{ref.table.table}/data/{data}")
        return self._tables.register_manifest(ref.table, manifest)

    def _publication(self, job: str, task: str) -> _Publication | None:
        path = f"{PUBLISHED}/{job}/{task}.json"
        try:
            data = self._place.read(path)
        except FileNotFoundError:
            return None
        check_schema(data, SCHEMA, path)
        try:
            return _Publication.model_validate_json(data)
        except pydantic.ValidationError as error:
            raise Damaged(f"{path} does not say what was published: {error.errors()[0]['msg']}.") from error


def _folder(attempt: AttemptId) -> str:
    return f"{ROOT}/{attempt}"


def _report_folder(ref: OutputRef) -> str:
    return f"{REPORTS}/{ref.job}/{ref.task}.{ref.output}"


def _read_report(data: bytes, what: str) -> Report:
    try:
        return Report.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise Damaged(f"The report {what} cannot be read: {error.errors()[0]['msg']}.") from error
