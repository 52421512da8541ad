"""Routes that take results out: rows of tables, models and reports, streamed from the store in constant memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from flow.rest.access import Caller, DeleteSomeModel, ExportSomeModel, ExportSomeTable, ReadModel, ReadReport
from flow.rest.routes.tables import Version, table_reference
from flow.views.party import ArrayView, ModelView, ReportView
from party.users import Thing
from storage.client import ExportFormat, Model, ModelInfo, OutputRef, Unreadable, exported, exported_model

router = APIRouter(tags=["results"])

Role = Annotated[str | None, Query(max_length=20, description="Where the party has a part for each of its roles.")]
_MEDIA = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.ARROW: "application/vnd.apache.arrow.file",
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/tables/{namespace}/{name}/rows", summary="All rows of a table as a file", responses=_FILE)
def rows(
    known: ExportSomeTable,
    namespace: str,
    name: str,
    version: Version = None,
    form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.CSV,
) -> StreamingResponse:
    """CSV, Parquet or Arrow; only for users who may read data."""
    table = known.backends.tables.open(table_reference(namespace, name, version))
    owner = known.backends.owner_of_table(table.manifest)
    thing = Thing("table", table.manifest.reference, owner)
    known.may("export", thing)
    pieces = _while_allowed(known, thing, exported(table, form))
    return _stream(pieces, _MEDIA[form], f"{namespace}.{name}@{table.manifest.version}.{form}")


@router.get("/models", summary="The models of this party")
def models(known: ReadModel) -> list[ModelView]:
    """Its part of each, by job, task and output; what cannot be read stands at the end and says so."""
    found, unreadable = known.backends.store.models.listing()
    return [_view(info) for info in found] + [_unreadable(entry) for entry in unreadable]


@router.get("/models/{job}/{output}", summary="One model")
def model(known: ReadModel, job: str, output: str, role: Role = None) -> ModelView:
    """What it is, its details, and the form of its arrays; `output` is `task.output`."""
    store = known.backends.store.models
    info = store.info(OutputRef.parse(f"{job}/{output}"), role)
    return _view(info, store.load(info.ref, info.role))


@router.get("/models/{job}/{output}/file", summary="A model as a safetensors file", responses=_FILE)
def model_file(known: ExportSomeModel, job: str, output: str, role: Role = None) -> StreamingResponse:
    """Arrays by name; kind, schema, digest and details stand in the file's metadata."""
    ref = OutputRef.parse(f"{job}/{output}")
    thing = Thing("model", str(ref), known.backends.owner_of(ref.job))
    known.may("export", thing)
    found = exported_model(known.backends.store.models, ref, role)
    name = f"{ref.job}.{ref.task}.{ref.output}.safetensors"
    pieces = _while_allowed(known, thing, found.pieces)
    return _stream(pieces, "application/octet-stream", name, size=found.size)


@router.delete("/models/{job}/{output}", status_code=204, summary="Delete a model")
def delete(known: DeleteSomeModel, job: str, output: str) -> None:
    """This party's part of it, as every role; its owner or an officer may. One that a job needs stays."""
    ref = OutputRef.parse(f"{job}/{output}")
    known.may("delete", Thing("model", str(ref), known.backends.owner_of(ref.job)))
    known.backends.service.refuse_needed([str(ref)], is_table=False)
    known.backends.store.models.delete(ref)


@router.get("/reports/{job}/{output}", summary="One report")
def report(known: ReadReport, job: str, output: str, role: Role = None) -> ReportView:
    """Its kind and its content as JSON."""
    found = known.backends.store.report(OutputRef.parse(f"{job}/{output}"), role)
    return ReportView(kind=found.kind, schema_version=found.schema_, body=found.body)


def _while_allowed(known: Caller, thing: Thing, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, for as long as the user may have them: a file may take hours on its way."""
    asked = time.monotonic()
    for piece in pieces:
        if time.monotonic() - asked >= known.backends.ask_again_s:
            known.again().may("export", thing)
            asked = time.monotonic()
        yield piece


def _stream(pieces: Iterator[bytes], media: str, name: str, size: int | None = None) -> StreamingResponse:
    """The pieces; the first is made now, so that what is wrong from the start is answered as an error."""
    first = next(pieces)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if size is not None:
        headers["Content-Length"] = str(size)
    return StreamingResponse(chain([first], pieces), media_type=media, headers=headers)


def _unreadable(entry: Unreadable) -> ModelView:
    return ModelView(
        reference=entry.reference, role=entry.role, kind="", digest="", size_bytes=0, damaged=entry.problem
    )


def _view(info: ModelInfo, content: Model | None = None) -> ModelView:
    arrays = content.arrays if content else {}
    return ModelView(
        reference=info.reference,
        role=info.role,
        kind=info.kind,
        digest=info.digest,
        size_bytes=info.bytes,
        details=dict(content.details) if content else {},
        arrays=tuple(ArrayView(name=n, type=a.dtype.name, shape=a.shape) for n, a in arrays.items()),
    )
