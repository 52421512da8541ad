"""What the store keeps of each job: outputs that are visible, checkpoints, and how many bytes that is."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.disk.room import is_short
from storage.checkpoints.store import ROOT as CHECKPOINTS
from storage.models.store import ROOT as MODELS
from storage.models.store import ModelStore, model_folder
from storage.outputs.staging import REPORTS
from storage.place import Place
from storage.refs import JOB_NAMESPACE, OutputRef, TableRef, job_namespace
from storage.tables.store import TableStore
from storage.tables.versions import ROOT as TABLES


@dataclass(frozen=True)
class KeptFiles:
    """What is kept of one job. `outputs` are references of tables, models and reports; bytes are 0 if not known."""

    checkpoints: bool
    checkpoint_bytes: int
    output_bytes: int
    outputs: tuple[str, ...]


class JobFiles:
    """Looks over and deletes what is kept by job."""

    def __init__(self, place: Place, tables: TableStore, models: ModelStore) -> None:
        self._place = place
        self._tables = tables
        self._models = models

    def jobs(self) -> set[str]:
        """The jobs of which outputs or checkpoints are kept."""
        tables = (name for name in self._place.folders(TABLES) if name.startswith(JOB_NAMESPACE))
        made = {name.removeprefix(JOB_NAMESPACE).upper() for name in tables if self._in(name)}
        made |= {name for name in self._place.folders(MODELS) if self._models_of(name)}
        return made.union(*(self._place.folders(root) for root in (REPORTS, CHECKPOINTS)))

    def of(self, job: str) -> KeptFiles:
        """What is kept of a job."""
        folders = (f"{TABLES}/{job_namespace(job)}", f"{MODELS}/{job}", f"{REPORTS}/{job}")
        outputs = (*self._in(job_namespace(job)), *self._models_of(job), *self._named(REPORTS, job))
        return KeptFiles(
            checkpoints=self._place.exists(f"{CHECKPOINTS}/{job}"),
            checkpoint_bytes=self._place.extent(f"{CHECKPOINTS}/{job}")[0],
            output_bytes=sum(self._place.extent(folder)[0] for folder in folders) if outputs else 0,
            outputs=tuple(map(str, outputs)),
        )

    def delete_outputs(self, job: str) -> None:
        """Delete the tables, models and reports of a job; what tables were made of stays known."""
        for table in self._in(job_namespace(job)):
            self._tables.delete(table)
        for model in self._models_of(job):
            self._models.delete(model)
        self._place.remove(f"{REPORTS}/{job}")

    def is_short(self) -> bool:
        """Whether the disk is short of room; False where that is not known."""
        root = self._place.local()
        return root is not None and is_short(root)

    def _in(self, namespace: str) -> list[TableRef]:
        """The versions of the tables of a namespace."""
        refs = (TableRef(namespace, name) for name in self._place.folders(f"{TABLES}/{namespace}"))
        return [ref.at(number) for ref in refs for number in self._tables.numbers(ref)]

    def _models_of(self, job: str) -> list[OutputRef]:
        """The models of which a role's part is there; of others a use policy may be."""
        return [ref for ref in self._named(MODELS, job) if self._place.folders(model_folder(ref))]

    def _named(self, root: str, job: str) -> list[OutputRef]:
        return [OutputRef.parse(f"{job}/{name}") for name in self._place.folders(f"{root}/{job}")]
