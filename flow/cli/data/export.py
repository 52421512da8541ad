"""Results as files in a folder of one's own: models, tables, reports, metrics and log lines of a job."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flow.errors import FileUnwritable
from flow.whole_file import make_folder, refuse_existing, whole_file

if TYPE_CHECKING:
    from flow.cli.screen import Progress
    from flow.client import FlowClient, OutputRow, ReportView
    from flow.views.jobs import View
    from storage.client import Model

_ALWAYS = ("job.json", "metrics.csv", "logs.csv")


class Results(Protocol):
    """Who hands out what a job made: a party, or a store of a run in this process."""

    def export_model(self, reference: str, file: Path, role: str | None = None, *, got: Progress | None = None) -> int:
        """Write a model to a safetensors file."""

    def export_table(self, reference: str, file: Path, form: str, *, overwrite: bool = False) -> int:
        """Write a table to a file."""

    def report(self, reference: str, role: str | None = None) -> ReportView:
        """A report."""


def suffix_of(file: Path, known: Sequence[str]) -> str:
    """The suffix of a file that is to be written, without its dot. Raises FileUnwritable if it is none of `known`."""
    suffix = file.suffix.removeprefix(".").lower()
    if suffix not in known:
        names = ", ".join(f"{file.stem}.{each}" for each in known)
        raise FileUnwritable(f"--to {file}: its name does not say in which form.", hint=f"Write one of {names}.")
    return suffix


def export_model(
    results: Results,
    model: str,
    to: Path,
    form: str,
    *,
    role: str | None = None,
    overwrite: bool = False,
    got: Progress | None = None,
) -> str:
    """Write a model to a `safetensors` or `json` file; its digest, which was checked on what arrived.

    Raises:
        FileThere, FileUnwritable: The file is there already, or cannot be written.
        Damaged: What arrived is not the model that its digest names; nothing is left of it.
    """
    from storage.client import read_model_file

    make_folder(to.parent)
    with whole_file(to, overwrite=overwrite) as file:
        results.export_model(model, file, role, got=got)
        found = read_model_file(file)
        if form == "json":
            file.write_text(_as_json(found))
    return found.digest()


@dataclass(frozen=True)
class Taken:
    """One file that was written."""

    file: str
    what: str


def take_job(flow: FlowClient, job: str, folder: Path, tables: str, *, overwrite: bool = False) -> Iterator[Taken]:
    """Write everything that the job has made at this party into a folder, each file told of once it is there.

    Args:
        flow: The party.
        job: The job's id.
        folder: Made if it is not there.
        tables: The form of tables: `csv`, `parquet` or `arrow`.
        overwrite: Whether to replace files that are there already.

    Raises:
        FileThere, FileUnwritable: A file is there already, or cannot be written.
    """
    spec, party = flow.job(job).spec, flow.status().party
    make_folder(folder)
    own = [row for row in flow.outputs(job) if row.party == party]
    files = output_files(folder, own, tables)
    for file in (*files, *(folder / name for name in _ALWAYS)):  # all of them, or none
        refuse_existing(file, overwrite=overwrite)
    for row, file in zip(own, files, strict=True):
        yield take_output(flow, row, file, tables, overwrite=overwrite)
    yield from take_records(folder, spec, flow.metrics(job), flow.logs(job), overwrite=overwrite)


def output_files(folder: Path, rows: Sequence[OutputRow], tables: str) -> list[Path]:
    """Where each output of one party goes: `task.output`, and the role too where the party has several parts of it."""
    times = Counter((row.task, row.name) for row in rows)
    endings = {"model": "safetensors", "table": tables}
    stems = [f"{r.task}.{r.name}" + (f".{r.role}" if times[r.task, r.name] > 1 else "") for r in rows]
    return [folder / f"{stem}.{endings.get(row.kind, 'json')}" for row, stem in zip(rows, stems, strict=True)]


def take_output(results: Results, row: OutputRow, file: Path, tables: str, *, overwrite: bool = False) -> Taken:
    """Write one output to a file. Raises FileThere, FileUnwritable."""
    if row.kind == "model":
        export_model(results, row.reference, file, "safetensors", role=row.role, overwrite=overwrite)
    elif row.kind == "table":
        results.export_table(row.reference, file, tables, overwrite=overwrite)
    else:
        _write_json(file, results.report(row.reference, row.role).model_dump(mode="json"), overwrite=overwrite)
    return Taken(str(file), f"{row.kind} {row.reference}")


def take_records(
    folder: Path, spec: object, metrics: Sequence[View], logs: Sequence[View], *, overwrite: bool = False
) -> Iterator[Taken]:
    """Write the job, its metrics and its log lines. Raises FileThere, FileUnwritable."""
    from flow.views.jobs import LogRow, MetricRow

    yield Taken(_write_json(folder / _ALWAYS[0], spec, overwrite=overwrite), "the job as submitted")
    yield _take_rows(folder / _ALWAYS[1], MetricRow, metrics, overwrite=overwrite)
    yield _take_rows(folder / _ALWAYS[2], LogRow, logs, overwrite=overwrite)


def _as_json(model: Model) -> str:
    arrays = {
        name: {"type": array.dtype.name, "shape": list(array.shape), "values": array.tolist()}
        for name, array in model.arrays.items()
    }
    body = {"kind": model.kind, "schema": model.schema, "digest": model.digest()}
    return json.dumps(body | {"details": dict(model.details), "arrays": arrays}, ensure_ascii=False)


def _write_json(file: Path, value: object, *, overwrite: bool) -> str:
    with whole_file(file, overwrite=overwrite) as beside:
        beside.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    return str(file)


def _take_rows(file: Path, kind: type[View], rows: Sequence[View], *, overwrite: bool) -> Taken:
    with whole_file(file, overwrite=overwrite) as beside, beside.open("w", newline="") as target:
        writer = csv.DictWriter(target, [name for name in kind.model_fields if name != "id"])
        writer.writeheader()
        writer.writerows(row.model_dump(mode="json", exclude={"id"}) for row in rows)
    return Taken(str(file), f"{len(rows)} rows")
