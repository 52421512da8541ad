"""Where in a store the things lie that one task reads and writes: for whoever confines the process that does it.

Paths on this host's disk; a store that is elsewhere has none, and every answer about it is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from party.ids import Address, AttemptId
from storage import publication
from storage.checkpoints.store import ROOT as CHECKPOINTS
from storage.models.store import model_folder
from storage.outputs.staging import staging_folder
from storage.place import Place
from storage.refs import OutputRef, TableRef
from storage.tables.versions import table_folder


def of_tables(store: str, references: Iterable[str]) -> list[Path]:
    """The folders of these tables, all their versions, and of what their jobs published. Raises BadReference."""
    found = [TableRef.parse(reference) for reference in references]
    paths = [table_folder(ref) for ref in found]
    return _local(store, [*paths, *(f"{publication.ROOT}/{ref.job}" for ref in found if ref.job)])


def of_models(store: str, references: Iterable[str]) -> list[Path]:
    """The folders of these models, the parts of all roles, and what their tasks published. Raises BadReference."""
    found = [OutputRef.parse(reference) for reference in references]
    paths = [model_folder(ref) for ref in found]
    return _local(store, [*paths, *(publication.publication_file(ref.job, ref.task) for ref in found)])


def of_checkpoints(store: str, job: str, task: str) -> list[Path]:
    """The folder of a task's checkpoints and journals."""
    return _local(store, [f"{CHECKPOINTS}/{job}/{task}"])


def of_staging(store: str, attempt: AttemptId, address: Address) -> list[Path]:
    """The folder where one address of an attempt stages what it makes."""
    return _local(store, [staging_folder(attempt, address)])


def _local(store: str, paths: Iterable[str]) -> list[Path]:
    place = Place.of(store)
    return [found for path in paths if (found := place.local(path)) is not None]
