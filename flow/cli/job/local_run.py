"""`flow job run --local`: files become tables, the job is shown like a watched one, results go into a folder."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from algorithms.registry import component
from flow.cli.bars import Bars
from flow.cli.data.export import Taken, output_files, take_output, take_records
from flow.cli.job.watching import Watcher
from flow.cli.options import CommandContext, TableForm, read_bytes
from flow.client import EventRow, LogRow, MetricRow, OutputRow, ProgressRow
from flow.job.binding import BoundJob
from flow.job.spec import JobSpec
from flow.local.data import DataFile, Place, data_file, files_of, take_in
from flow.local.job import job_to_run
from flow.local.results import StoredResults
from flow.local.run import LocalRun, RunRecord
from flow.protocol.manifest import job_seed
from flow.whole_file import make_folder, refuse_existing
from runtime.clock import SystemClock
from storage.client import Store, TableRoles

SEED_BITS = 62


@dataclass(frozen=True)
class Given:
    """What was typed: `--data`, `--id`, `--label`, `--out`, `--tables`, `--overwrite`."""

    data: list[str]
    id: str | None
    label: str | None
    out: Path | None
    tables: TableForm
    overwrite: bool


def run_here(context: CommandContext, file: Path, given: Given) -> str:
    """Run the job of a file; the state in which it ended.

    Raises:
        JobInvalid, UnknownSchema: The job cannot run here.
        BadDataFile, BadSource: A file of `--data` cannot be used.
        FileThere, FileUnwritable: Results cannot be written.
    """
    given_files = [data_file(text, TableRoles(id=given.id, label=given.label)) for text in given.data]
    spec = read_bytes(file, "job file")
    context.source = str(file)
    job = job_to_run(spec, component)
    files = files_of(job, given_files)
    context.source = ""
    folder = given.out or Path(f"{re.sub('[^A-Za-z0-9_-]+', '_', job.spec.name)}-local")
    refuse_existing(folder, overwrite=given.overwrite)
    job, seed = _with_seed(job, context)
    with TemporaryDirectory(prefix="archipelago-local-") as work:
        stores = {party: Store(Path(work) / party) for party in job.spec.parties}
        tables = {place: _take_in(context, place, data, stores) for place, data in files.items()}
        make_folder(folder)
        run = LocalRun(job, stores, tables, job_seed(seed), SystemClock())
        taker = _Taker(context, folder, given, {party: StoredResults(store) for party, store in stores.items()})
        with context.screen.bars() as bars:
            shown = _Shown(context, bars)
            try:
                with closing(run.records()) as records:
                    for item in records:
                        shown.show(item)
                        if isinstance(item, EventRow) and item.kind == "task.published":
                            taker.outputs([row for row in run.outputs if row.task == item.task])
            finally:
                taker.records(job.spec, shown.metrics, shown.logs)
    taker.told()
    return shown.end()


class _Shown:
    """Shows a run as a watched job, with bars; keeps its metrics and log lines."""

    def __init__(self, context: CommandContext, bars: Bars) -> None:
        self._screen = context.screen
        self._bars = bars
        self._watcher = Watcher(context.screen)
        self._speaker: dict[str, str] = {}
        self.metrics: list[MetricRow] = []
        self.logs: list[LogRow] = []

    def show(self, item: RunRecord) -> None:
        """One record."""
        if isinstance(item, MetricRow):
            self.metrics.append(item)
            self._watcher.show([item])
        elif isinstance(item, LogRow):
            self.logs.append(item)
            if item.level == "error":
                for line in item.text.splitlines():
                    self._screen.note(f"{item.role}:{item.party}  {line}")
        elif isinstance(item, ProgressRow):
            speaker = f"{item.role}:{item.party}"
            if self._speaker.setdefault(item.task, speaker) == speaker:  # all are about as far as the first one
                self._bars.move(f"{item.task}: {item.what}", item.done, item.total)
        else:
            if isinstance(item, EventRow):
                self._bars.clear()
            self._watcher.show(item)

    def end(self) -> str:
        """The state that was shown last."""
        return self._watcher.end()


class _Taker:
    """Writes what a run made: for each party a folder as `flow job outputs --get` writes it, and the records."""

    def __init__(
        self, context: CommandContext, folder: Path, given: Given, results: Mapping[str, StoredResults]
    ) -> None:
        self._screen = context.screen
        self._folder = folder
        self._given = given
        self._results = results
        self._written = 0

    def outputs(self, rows: Sequence[OutputRow]) -> None:
        """Write the outputs of one task."""
        for party in sorted({row.party for row in rows}):
            own = [row for row in rows if row.party == party]
            make_folder(self._folder / party)
            files = output_files(self._folder / party, own, self._given.tables)
            for row, file in zip(own, files, strict=True):
                overwrite = self._given.overwrite
                self._tell(take_output(self._results[party], row, file, self._given.tables, overwrite=overwrite))

    def records(self, spec: JobSpec, metrics: Sequence[MetricRow], logs: Sequence[LogRow]) -> None:
        """Write the job with its seed, the metrics and the log lines."""
        overwrite = self._given.overwrite
        for taken in take_records(self._folder, spec.document(), metrics, logs, overwrite=overwrite):
            self._tell(taken)

    def told(self) -> None:
        """Say how much was written."""
        if not self._screen.as_json:
            self._screen.line(f"Wrote {self._written} files to {self._folder}.")

    def _tell(self, taken: Taken) -> None:
        self._written += 1
        if self._screen.as_json:
            self._screen.record({"kind": "file", "file": {"file": taken.file, "what": taken.what}})


def _with_seed(job: BoundJob, context: CommandContext) -> tuple[BoundJob, int]:
    """The job with a seed, drawn if it names none, and that seed: so the job beside the results repeats the run."""
    seed = job.spec.settings.seed
    if seed is None:
        seed = secrets.randbits(SEED_BITS)
        context.screen.note(f"The job names no seed; this run draws {seed}.")
    settings = job.spec.settings.model_copy(update={"seed": seed})
    return job._replace(spec=job.spec.model_copy(update={"settings": settings})), seed


def _take_in(context: CommandContext, place: Place, file: DataFile, stores: Mapping[str, Store]) -> str:
    party, table = place
    with context.screen.progress(f"Reading {file.file}") as read:
        reference, remarks = take_in(file, stores[party], read)
    for remark in remarks:
        context.screen.note(f"{table} of {party}: {remark}")
    return reference
