"""The door of storage: everything that other rooms may use."""

from __future__ import annotations

from pathlib import Path

from runtime.clock import Clock
from storage import task_paths
from storage.checkpoints.journal import Journal
from storage.checkpoints.store import KEPT_CHECKPOINTS, Checkpoint, CheckpointStore
from storage.columns.roles import check_roles
from storage.disk import refuse_without_room, room_for
from storage.documents import Unreadable
from storage.errors import (
    AlreadyPublished,
    BadColumnName,
    BadReference,
    BadRow,
    BadSource,
    BadWeight,
    ColumnNotFound,
    ColumnTypeRefused,
    Damaged,
    DuplicateColumn,
    DuplicateIds,
    EmptySource,
    InfiniteNumber,
    ModelNotFound,
    OutputRefused,
    ReportNotFound,
    SchemaVersionUnknown,
    SourceNotFound,
    StoreFull,
    StoreUnavailable,
    TableNotFound,
    TableSchemaMismatch,
    TooManyColumns,
    UndeclaredOutput,
    UnsupportedValue,
    ValueDamaged,
    ValueKindUnknown,
    ValueVersionUnknown,
    WrongKey,
)
from storage.facts import NO_ROLES, OF_HOLDERS, Alignment, TableRoles, UsePolicy
from storage.intake.source_options import SourceOptions, typed_column
from storage.kinds import Ciphertexts, Field, FieldHeader, Kind, Value, ValueHeader
from storage.models.export import ModelFile, exported_model, read_model_file
from storage.models.model import Model, load_model, save_model
from storage.models.store import ModelInfo, ModelStore
from storage.outputs.copying import Report
from storage.outputs.job_files import JobFiles, KeptFiles
from storage.outputs.staging import StagedOutputs, Staging
from storage.place import Place
from storage.publication import OutputKind, Published
from storage.refs import OutputRef, TableRef
from storage.tables.export import ExportFormat, exported
from storage.tables.manifest import Column, Partition, TableManifest
from storage.tables.store import TableStore
from storage.tables.table import Table
from storage.tables.writer import TableWriter
from storage.use_policies import UsePolicies
from storage.values import decode, describe, encode, kind_of

__all__ = [
    "KEPT_CHECKPOINTS",
    "NO_ROLES",
    "OF_HOLDERS",
    "Alignment",
    "AlreadyPublished",
    "BadColumnName",
    "BadReference",
    "BadRow",
    "BadSource",
    "BadWeight",
    "Checkpoint",
    "CheckpointStore",
    "Ciphertexts",
    "Column",
    "ColumnNotFound",
    "ColumnTypeRefused",
    "Damaged",
    "DuplicateColumn",
    "DuplicateIds",
    "EmptySource",
    "ExportFormat",
    "Field",
    "FieldHeader",
    "InfiniteNumber",
    "JobFiles",
    "Journal",
    "KeptFiles",
    "Kind",
    "Model",
    "ModelFile",
    "ModelInfo",
    "ModelNotFound",
    "ModelStore",
    "OutputKind",
    "OutputRef",
    "OutputRefused",
    "Partition",
    "Place",
    "Published",
    "Report",
    "ReportNotFound",
    "SchemaVersionUnknown",
    "SourceNotFound",
    "SourceOptions",
    "StagedOutputs",
    "Staging",
    "Store",
    "StoreFull",
    "StoreUnavailable",
    "Table",
    "TableManifest",
    "TableNotFound",
    "TableRef",
    "TableRoles",
    "TableSchemaMismatch",
    "TableStore",
    "TableWriter",
    "TooManyColumns",
    "UndeclaredOutput",
    "Unreadable",
    "UnsupportedValue",
    "UsePolicies",
    "UsePolicy",
    "Value",
    "ValueDamaged",
    "ValueHeader",
    "ValueKindUnknown",
    "ValueVersionUnknown",
    "WrongKey",
    "check_roles",
    "decode",
    "describe",
    "encode",
    "exported",
    "exported_model",
    "kind_of",
    "load_model",
    "read_model_file",
    "refuse_without_room",
    "room_for",
    "save_model",
    "task_paths",
    "typed_column",
]


class Store:
    """Everything a party keeps: tables, models, staged results and reports, checkpoints.

    `where` is a folder or any `pyarrow.fs` URI; `key` is a task's secret of 32 bytes, needed for checkpoints only.
    """

    def __init__(self, where: str | Path | Place, key: bytes = b"", clock: Clock | None = None) -> None:
        place = Place.of(where)
        self._place = place
        self._key = key
        self.tables = TableStore(place, clock)
        self.models = ModelStore(place)
        self.staging = Staging(place, clock)
        self.job_files = JobFiles(place, self.tables, self.models)
        self.use = UsePolicies(place, self.tables, self.models)

    def __repr__(self) -> str:
        return f"<Store {self._place}>"

    def checkpoints(self, key: bytes | None = None) -> CheckpointStore:
        """The checkpoints of a task, under its key (by default the store's)."""
        return CheckpointStore(self._place, self._key if key is None else key)

    def report(self, ref: str | OutputRef, role: str | None = None) -> Report:
        """A published report. Raises ReportNotFound."""
        return self.staging.report(ref, role)
