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
from storage.documents import MAX_DOCUMENT_BYTES
from storage.errors import AlreadyPublished, Damaged, OutputRefused, ReportNotFound, UndeclaredOutput, UnsupportedValue
from storage.facts import TableRoles
from storage.models.model import DETAILS_FILE, Model, save_model
from storage.models.store import ModelStore
from storage.outputs.copying import MANIFEST_FILE, Report, copy_model, copy_report, copy_table, refusing
from storage.place import Place
from storage.publication import OutputKind, Publication, Publications, Published
from storage.refs import OutputRef, job_namespace
from storage.tables.manifest import TableManifest
from storage.tables.store import TableStore
from storage.tables.writer import TablePlan, TableWriter, WrittenTable

ROOT = "staging"
REPORTS = "reports"
MAX_HOLE_BYTES = 256 * 2**20
MOST_COMPRESSED = 256
_COPIES = ".copies"  # no address's folder: no executor reaches it


Declared: TypeAlias = Mapping[str, Mapping[str, OutputKind]]
"""What a task may publish: for each address, its outputs and their kinds."""


class _Copy(NamedTuple):
    """An output that lies in a copy of our own, with the manifest of one that is a table."""

    output: Published
    manifest: TableManifest | None


class StagedOutputs:
    """Where one address of an attempt puts its results; an output written again replaces what was staged."""

    def __init__(self, place: Place, attempt: AttemptId, address: Address, clock: Clock) -> None:
        self._place = place
        self._folder = staging_folder(attempt, address)
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

    def save_table(self, name: str, rows: pa.Table, roles: TableRoles) -> TableManifest:
        """Stage a table. Raises as `TableRoles.check` does."""
        writer = self.table_writer(name, rows.schema, roles)
        with writer:
            writer.write(rows)
            return writer.close()

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

        What executors wrote is copied and looked at as a whole before the first output is visible (`copying`).

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
            copies = self._copies(AttemptId(JobId(job), TaskName(task), attempt), folder, declared)
            outputs = [self._visible(OutputRef(job, task, copy.output.output), copy, folder) for copy in copies]
            done = Publication(attempt=attempt, outputs=outputs)
            self._published.note(job, task, done)
        self._place.remove(f"{ROOT}/{job}/{task}")
        return done.outputs

    def discard(self, job: str, task: str | None = None, attempt: int | None = None) -> None:
        """Delete what is staged for an attempt, for a task, or for a whole job with all that it left half published."""
        parts = [ROOT, job] + ([task] if task else []) + ([str(attempt)] if task and attempt is not None else [])
        self._place.remove("/".join(parts))
        if task is None:
            self._tables.sweep(job_namespace(job))

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

    def _copies(self, attempt: AttemptId, folder: str, declared: Declared) -> list[_Copy]:
        """Copies of all outputs, in address order; an interrupted call is done anew, from what is staged still."""
        self._place.remove(f"{folder}/{_COPIES}")
        if self._place.exists(folder):
            self._enter(folder, attempt)
        outputs = []
        for address in sorted(map(Address.parse, declared)):
            wanted = declared[str(address)]
            side = staging_folder(attempt, address)
            self._refuse_holes(side, f"{attempt.task} as {address}")
            for kind, name in self._staged(side):
                ref = OutputRef(attempt.job, attempt.task, name)
                if wanted.get(name) != kind:
                    raise UndeclaredOutput(
                        f"The executor of {attempt.task} as {address} left the {kind} '{printable(name)[:80]}', which "
                        "its component does not declare.",
                        hint=f"It declares {', '.join(sorted(wanted)) or 'none'} for that role.",
                    )
                with refusing(kind, ref):
                    outputs.append(self._copy(ref, address, kind, attempt))
        return outputs

    def _enter(self, folder: str, attempt: AttemptId) -> None:
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

    def _copy(self, ref: OutputRef, address: Address, kind: OutputKind, attempt: AttemptId) -> _Copy:
        side = f"{address.role}-{address.party}/{kind}s/{ref.output}"
        staged, ours = f"{_folder(attempt)}/{side}", f"{_folder(attempt)}/{_COPIES}/{side}"
        manifest = None
        if kind == OutputKind.TABLE:
            manifest = copy_table(self._place, staged, ours, ref, f"{attempt}/{address}", self._clock.now())
            digest = manifest.digest
        elif kind == OutputKind.MODEL:
            digest = copy_model(self._place, staged, ours)
        else:
            digest = copy_report(self._place, f"{staged}.json", f"{ours}.json")
        output = Published(address=str(address), output=ref.output, kind=kind, reference=str(ref), digest=digest)
        return _Copy(output, manifest)

    def _visible(self, ref: OutputRef, copy: _Copy, folder: str) -> Published:
        """Move a copy to where it is visible, over what an interrupted call has moved; a table stays as it is.

        The reference of a table has the version that it got.
        """
        output = copy.output
        ours = f"{folder}/{_COPIES}/{output.address.replace(':', '-')}/{output.kind}s/{output.output}"
        if copy.manifest is not None:
            table = self._visible_table(ref, ours, copy.manifest)
            return output.model_copy(update={"reference": table.reference, "digest": table.digest})
        if output.kind == OutputKind.MODEL:
            self._models.adopt(ref, output.role, ours)
        else:
            self._place.move(f"{ours}.json", f"{_report_folder(ref)}/{output.role}.json")
        return output

    def _visible_table(self, ref: OutputRef, ours: str, manifest: TableManifest) -> TableManifest:
        visible = self._tables.made_by(ref.table, manifest.origin)
        if visible is not None:
            return visible
        return self._tables.adopt(ref.table, ours, manifest)


def staging_folder(attempt: AttemptId, address: Address) -> str:
    """Where one address of an attempt stages what it makes."""
    return f"{_folder(attempt)}/{address.role}-{address.party}"


def _folder(attempt: AttemptId) -> str:
    return f"{ROOT}/{attempt}"


def _report_folder(ref: OutputRef) -> str:
    return f"{REPORTS}/{ref.job}/{ref.task}.{ref.output}"


def _read_report(data: bytes, what: str) -> Report:
    try:
        return Report.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise Damaged(f"The report {what} cannot be read: {first_problem(error)}.") from error
