"""What a run in this process made, taken out of a party's store: as a party hands it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flow.views.party import ReportView
from flow.whole_file import whole_file
from storage.client import ExportFormat, Store, exported, exported_model


@dataclass(frozen=True)
class StoredResults:
    """The results in one party's store."""

    store: Store

    def export_model(
        self, reference: str, file: Path, role: str | None = None, *, got: Callable[[int, int], None] | None = None
    ) -> int:
        """Write a model to a safetensors file; the bytes written. Raises FileThere."""
        found = exported_model(self.store.models, reference, role)
        written = _write(file, found.pieces)
        if got is not None:
            got(written, found.size)
        return written

    def export_table(self, reference: str, file: Path, form: str, *, overwrite: bool = False) -> int:
        """Write all rows of a table to a file; the bytes written. Raises FileThere, ColumnTypeRefused."""
        return _write(file, exported(self.store.tables.open(reference), ExportFormat(form)), overwrite=overwrite)

    def report(self, reference: str, role: str | None = None) -> ReportView:
        """One report."""
        found = self.store.report(reference, role)
        return ReportView(kind=found.kind, schema_version=found.schema_, body=found.body)


def _write(file: Path, pieces: Iterable[bytes], *, overwrite: bool = False) -> int:
    with whole_file(file, overwrite=overwrite) as beside, beside.open("xb") as target:
        return sum(target.write(piece) for piece in pieces)
