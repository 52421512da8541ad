"""Results of a task attempt before the task has succeeded everywhere, and how they become visible.

staging/<job>/<task>/<attempt>/<role>-<party>/tables|models|reports/<output>
published/<job>/<task>.json       what the task's outputs became; written last
reports/<job>/<task>.<output>/<role>.json
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pydantic
from ulid import ULID

from party.ids import Address, AttemptId, JobId, TaskName
from runtime.canonical import canonical_json
from runtime.clock import Clock, SystemClock
from runtime.text import first_problem, printable
from storage.errors import AlreadyPublished, Damaged, OutputRefused, ReportNotFound, UndeclaredOutput, UnsupportedValue
from storage.manifest import MAX_DOCUMENT_BYTES, TableManifest
from storage.models import DETAILS_FILE, Model, ModelStore, save_model
from storage.place import Place
from storage.publication import OutputKind, Publication, Publications, Published
from storage.refs import OutputRef
from storage.table_roles import TableRoles
from storage.tables import ROOT as TABLES
from storage.tables import TableStore
from storage.taking import MANIFEST_FILE, Report, take_model, take_report, take_table, taking
from storage.writer import TablePlan, TableWriter, WrittenTable

ROOT = "staging"
REPORTS = "reports"
MAX_HOLE_BYTES = 256 * 2**20
MOST_COMPRESSED = 256
_TAKEN = ".taken"  # no address's folder: no executor reaches it


Declared: TypeAlias = Mapping[str, Mapping[str, OutputKind]]
"""What a task may publish: for each address, its outputs and their kinds."""


class _Taken(NamedTuple):
    """An output that lies in a copy of our own, with the manifest of one that is a table."""

    output: Published
    manifest: TableManifest | None


class StagedOutputs:
    """Where one address of an attempt puts its results; an output written again replaces what was staged."""

    def __init__(self, place: Place, attempt: AttemptId, address: Address, clock: Clock) -> None:
        self._place = place
        self._folder = f"{_folder(attempt)}/{address.role}-{address.party}"
        self._origin = f"{attempt}/{address}"
        self._name = OutputRef(attempt.job, attempt.task, "output")
        self._clock = clock

    def table_writer(self, name: str, schema: pa.Schema, roles: TableRoles) -> TableWriter:
        """A writer for an output table. Raises as `TableRoles.check` does."""
        folder = f"{self._folder}/tables/{name}"
        data = f"{folder}/data/{ULID()}"
        plan = TablePlan(schema=schema, roles=roles, origin=self._origin, unique_ids=False)

        def commit(written: WrittenTable) -> TableManifest:
            manifest = TableManifest(
                name=OutputRef(self._name.job, self._name.task, name).table.table,
                version=1,
                columns=written.columns,
                rows=written.rows,
                digest=written.digest,
                partitions=written.partitions,
                roles=roles,
                created_at=self._clock.now(),
                origin=self._origin,
            )
            self._place.write(f"{folder}/{MANIFEST_FILE}", manifest.to_json())
            for other in self._place.folders(f"{folder}/data"):
                if other != data.rpartition("/")[2]:
                    self._place.remove(f"{folder}/data/{other}")
            return manifest

        return TableWriter(self._place, data, plan, commit)

    def save_model(self, name: str, model: Model) -> None:
        """Stage this address's part of a model."""
        save_model(self._place.inside(f"{self._folder}/models/{name}"), model)

    def save_report(self, name: str, kind: str, schema: int, body: Mapping[str, object]) -> None:
        """Stage a report. Raises NotCanonical if the body is not JSON, UnsupportedValue if it is too large."""
        content = canonical_json({"kind": kind, "schema": schema, "body": dict(body)})
        if len(content) > MAX_DOCUMENT_BYTES:
            raise UnsupportedValue(
                f"The report '{name}' has {len(content)} bytes; a report has at most {MAX_DOCUMENT_BYTES}.",
                hint="Save what is large as a table.",
            )
        self._place.write(f"{self._folder}/reports/{name}.json", content)


class Staging:
    """The staged and the published results of tasks."""

    def __init__(self, where: str | Path | Place, clock: Clock | None = None) -> None:
        self._place = Place.of(where)
        self._clock = clock or SystemClock()
        self._tables = TableStore(self._place, self._clock)
        self._models = ModelStore(self._place)
        self._published = Publications(self._place)

    def outputs(self, attempt: AttemptId, address: Address) -> StagedOutputs:
        """Where an address of an attempt puts its results."""
        return StagedOutputs(self._place, attempt, address, self._clock)

    def publish(self, job: str, task: str, attempt: int, declared: Declared) -> list[Published]:
        """Make everything that the attempt staged visible; doing it again returns the same.

        What executors wrote is copied and looked at as a whole before the first output is visible (`storage.taking`).

        Raises:
            AlreadyPublished: Another attempt's results are visible already.
            UndeclaredOutput: Something was staged that is not among the declared outputs.
            OutputRefused: What was staged is not an output that can be published.
        """
        done = self._published.of(job, task)
        if done is not None and done.attempt != attempt:
            raise AlreadyPublished(f"Task {job}/{task} has published the results of attempt {done.attempt} already.")
        if done is None:
            folder = f"{ROOT}/{job}/{task}/{attempt}"
            taken = self._taken(AttemptId(JobId(job), TaskName(task), attempt), folder, declared)
            outputs = [self._shown(OutputRef(job, task, each.output.output), each, folder) for each in taken]
            done = Publication(attempt=attempt, outputs=outputs)
            self._published.note(job, task, done)
        self._place.remove(f"{ROOT}/{job}/{task}")
        return done.outputs

    def published(self, job: str, task: str) -> list[Published]:
        """What the task's outputs became; empty before it is published."""
        done = self._published.of(job, task)
        return done.outputs if done is not None else []

    def discard(self, job: str, task: str | None = None, attempt: int | None = None) -> None:
        """Delete what is staged for an attempt, for a task, or for a whole job."""
        parts = [ROOT, job] + ([task] if task else []) + ([str(attempt)] if task and attempt is not None else [])
        self._place.remove("/".join(parts))

    def report(self, ref: str | OutputRef, role: str | None = None) -> Report:
        """A published report; of several roles' reports the named one, else the first.

        Raises:
            ReportNotFound: There is none.
            Damaged: It is not what its job published.
        """
        target = OutputRef.parse(ref)
        roles = [name.removesuffix(".json") for name in self._place.files(_report_folder(target))]
        for found in roles:
            if role in (None, found):
                data = self._place.read(f"{_report_folder(target)}/{found}.json")
                self._published.check(target, OutputKind.REPORT, found, sha256(data).hexdigest())
                return _read_report(data, str(target))
        raise ReportNotFound(f"There is no report '{target}'" + (f" as {role}" if role else "") + " here.")

    def _taken(self, attempt: AttemptId, folder: str, declared: Declared) -> list[_Taken]:
        """Copies of all outputs, in address order; an interrupted call is done anew, from what is staged still."""
        self._place.remove(f"{folder}/{_TAKEN}")
        if self._place.exists(folder):
            self._take_back(folder, attempt)
        outputs = []
        for address in sorted(map(Address.parse, declared)):
            wanted = declared[str(address)]
            side = f"{folder}/{address.role}-{address.party}"
            self._refuse_holes(side, f"{attempt.task} as {address}")
            for kind, name in self._staged(side):
                ref = OutputRef(attempt.job, attempt.task, name)
                if wanted.get(name) != kind:
                    raise UndeclaredOutput(
                        f"The executor of {attempt.task} as {address} left the {kind} '{printable(name)[:80]}', which "
                        "its component does not declare.",
                        hint=f"It declares {', '.join(sorted(wanted)) or 'none'} for that role.",
                    )
                with taking(kind, ref):
                    outputs.append(self._take(ref, address, kind, attempt))
        return outputs

    def _take_back(self, folder: str, attempt: AttemptId) -> None:
        try:
            self._place.enter(folder)
        except Damaged as error:
            raise OutputRefused(
                f"What executors of {attempt.task} left cannot be published: {error.message}",
                hint="Look at the component's code: outputs are staged by the functions of its context.",
            ) from error

    def _refuse_holes(self, folder: str, whose: str) -> None:
        """Files of holes cost their maker nothing, and us every byte of them; a disk that compresses makes some."""
        size, held = self._place.extent(folder)
        if size > MAX_HOLE_BYTES + MOST_COMPRESSED * held:
            raise OutputRefused(
                f"The executor of {whose} left files of {size} bytes that take {held} bytes of disk.",
                hint="Look at the component's code: it stages files that are nearly nothing but holes.",
            )

    def _staged(self, folder: str) -> list[tuple[OutputKind, str]]:
        """What an address staged that is whole."""
        models, tables = f"{folder}/{OutputKind.MODEL}s", f"{folder}/{OutputKind.TABLE}s"
        found = [(OutputKind.MODEL, n) for n in self._with(models, DETAILS_FILE)]
        found += [(OutputKind.REPORT, n.removesuffix(".json")) for n in self._place.files(f"{folder}/reports")]
        return found + [(OutputKind.TABLE, n) for n in self._with(tables, MANIFEST_FILE)]

    def _with(self, folder: str, file: str) -> list[str]:
        return [name for name in self._place.folders(folder) if self._place.exists(f"{folder}/{name}/{file}")]

    def _take(self, ref: OutputRef, address: Address, kind: OutputKind, attempt: AttemptId) -> _Taken:
        side = f"{address.role}-{address.party}/{kind}s/{ref.output}"
        staged, ours = f"{_folder(attempt)}/{side}", f"{_folder(attempt)}/{_TAKEN}/{side}"
        manifest = None
        if kind == OutputKind.TABLE:
            manifest = take_table(self._place, staged, ours, ref, f"{attempt}/{address}", self._clock.now())
            digest = manifest.digest
        elif kind == OutputKind.MODEL:
            digest = take_model(self._place, staged, ours)
        else:
            digest = take_report(self._place, f"{staged}.json", f"{ours}.json")
        output = Published(address=str(address), output=ref.output, kind=kind, reference=str(ref), digest=digest)
        return _Taken(output, manifest)

    def _shown(self, ref: OutputRef, taken: _Taken, folder: str) -> Published:
        """Move what was taken to where it is visible, over what an interrupted call has moved; a table stays as it is.

        The reference of a table has the version that it got.
        """
        output = taken.output
        ours = f"{folder}/{_TAKEN}/{output.address.replace(':', '-')}/{output.kind}s/{output.output}"
        if taken.manifest is not None:
            table = self._show_table(ref, ours, taken.manifest)
            return output.model_copy(update={"reference": table.reference, "digest": table.digest})
        if output.kind == OutputKind.MODEL:
            self._models.adopt(ref, output.role, ours)
        else:
            self._place.move(f"{ours}.json", f"{_report_folder(ref)}/{output.role}.json")
        return output

    def _show_table(self, ref: OutputRef, ours: str, manifest: TableManifest) -> TableManifest:
        visible = self._tables.made_by(ref.table, manifest.origin)
        if visible is not None:
            return visible
        for data in self._place.folders(f"{ours}/data"):
            self._place.move(f"{ours}/data/{data}", f"{TABLES}/{ref.table.table}/data/{data}")
        return self._tables.register_manifest(ref.table, manifest)


def _folder(attempt: AttemptId) -> str:
    return f"{ROOT}/{attempt}"


def _report_folder(ref: OutputRef) -> str:
    return f"{REPORTS}/{ref.job}/{ref.task}.{ref.output}"


def _read_report(data: bytes, what: str) -> Report:
    try:
        return Report.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise Damaged(f"The report {what} cannot be read: {first_problem(error)}.") from error
