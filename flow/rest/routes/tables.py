"""Routes about tables: an upload streams to a private spool file, then into the store; memory stays constant."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Literal
from urllib.parse import unquote

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request

from flow.errors import TableOwned
from flow.protocol.policy import NO_USER
from flow.rest.access import Caller, DeleteSomeTable, ReadSomeRows, ReadTable, UploadTable
from flow.views.party import ColumnView, HeadView, TableView
from party.users import Thing, User
from runtime.errors import PlatformError
from storage.client import (
    Damaged,
    SchemaVersionUnknown,
    SourceOptions,
    StoreFull,
    TableManifest,
    TableNotFound,
    TableRef,
    TableRoles,
    Unreadable,
    refuse_without_room,
    room_for,
    typed_column,
)

router = APIRouter(tags=["tables"])

CHUNK_BYTES = 1 << 20
MAX_HEAD_ROWS = 1000
MAX_FILE_NAME_CHARS = 200
MAX_LENGTH_DIGITS = 19
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_TABLE_PATH = re.compile("/v1/tables/[^/]+/[^/]+")

Version = Annotated[int | None, Query(ge=1, description="By default the newest.")]


def is_upload(method: str, path: str) -> bool:
    """Whether a request streams a table, which may be of any size."""
    return method == "PUT" and _TABLE_PATH.fullmatch(path) is not None


async def _spooled(
    request: Request,
    known: UploadTable,  # refuses before the first byte is read
    namespace: str,
    name: str,
    file_name: Annotated[str, Header(max_length=1000, description="Percent-encoded name of the file.")] = "table.csv",
) -> AsyncIterator[Path]:
    table = TableRef.parse(f"{namespace}/{name}")
    await to_thread.run_sync(refuse_owned, known, f"{namespace}/{name}")
    folder = known.backends.spool / secrets.token_hex(8)
    file = folder / shown_name(file_name)
    try:
        with room_for(f"table {table}", known.backends.spool, _declared(request)):
            await to_thread.run_sync(lambda: folder.mkdir(parents=True, mode=0o700))
            await _write(request, file, f"table {table}")
        yield file
    finally:
        await to_thread.run_sync(lambda: rmtree(folder, ignore_errors=True))


def refuse_owned(known: Caller, table: str) -> None:
    """Raise TableOwned if the table's newest version belongs to another user, or did before it was deleted."""
    try:
        newest = known.backends.tables.last(table)
    except (TableNotFound, Damaged, SchemaVersionUnknown):  # nobody is known whose it is
        return
    refuse_after(known.user, newest)


def refuse_after(user: User, newest: TableManifest) -> None:
    """Raise TableOwned if the version belongs to another user, who alone uploads the next."""
    if newest.owner not in ("", user.name):
        raise TableOwned(
            f"The table '{newest.name}' belongs to {newest.owner}, who alone uploads it.",
            hint=f"Take another name, or ask {newest.owner}: the name of a deleted table stays its owner's.",
        )


def shown_name(file_name: str) -> str:
    """What the user calls the file, as a name that any disk takes: no folders, no odd letters, its end kept."""
    name = _UNSAFE.sub("_", Path(unquote(file_name)).name).lstrip(".")
    return name[-MAX_FILE_NAME_CHARS:].lstrip(".") or "table"


async def _write(request: Request, file: Path, what: str) -> None:
    """The body into the file. One that cannot fit is read to its end all the same, so that the sender hears why."""
    stream = request.stream()
    held = bytearray()
    try:
        refuse_without_room(what, file, _declared(request) or 0)
        with file.open("wb") as out:
            async for chunk in stream:
                held += chunk
                if len(held) >= CHUNK_BYTES:
                    await to_thread.run_sync(out.write, bytes(held))
                    held.clear()
            await to_thread.run_sync(out.write, bytes(held))
    except (OSError, StoreFull):
        file.unlink(missing_ok=True)
        async for _ in stream:
            pass
        raise


def _declared(request: Request) -> int | None:
    """Bytes of the body, where its sender says so."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < MAX_LENGTH_DIGITS else None


Spooled = Annotated[Path, Depends(_spooled)]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


TYPE_TEXT = "COLUMN=bool|int|float|text|date|timestamp for a column whose type should not be guessed."


RoleColumn = Annotated[str | None, Query(max_length=200, description="The column that plays this role.")]


class _Upload:
    """How the file is to be read; FastAPI fills it from the query."""

    def __init__(  # noqa: PLR0913 - the query, as a person writes it
        self,
        form: Annotated[
            Literal["csv", "parquet", "arrow"] | None,
            Query(alias="format", description="By default told from the file name's suffix."),
        ] = None,
        id: RoleColumn = None,
        label: RoleColumn = None,
        weight: RoleColumn = None,
        match_id: RoleColumn = None,
        types: Annotated[list[str] | None, Query(alias="type", description=TYPE_TEXT)] = None,
        encoding: Annotated[str | None, Query(max_length=60, description="Of a CSV: gbk, latin-1, utf-16, …")] = None,
        delimiter: Annotated[str | None, Query(max_length=3, description="Between fields; 'tab' for tab.")] = None,
        decimal: Annotated[str | None, Query(max_length=3, description="The decimal sign: '.' or ','.")] = None,
        no_header: Annotated[bool, Query(description="Whether a CSV's first line is a row already.")] = False,
        columns: Annotated[
            list[str] | None, Query(description="The names of columns that the file has none of.")
        ] = None,
        null: Annotated[list[str] | None, Query(description="Texts of a CSV that mean a missing value.")] = None,
        features: Annotated[list[str] | None, Query(description="The only columns to keep beside those.")] = None,
        drop: Annotated[list[str] | None, Query(description="Columns to leave out.")] = None,
    ) -> None:
        self.form = form
        self.options = SourceOptions(
            delimiter=delimiter,
            encoding=encoding,
            decimal=decimal,
            no_header=no_header,
            columns=tuple(columns or ()),
            null_values=tuple(null or ()),
            column_types=dict(typed_column(text) for text in types or ()),
            features=tuple(features or ()),
            drop=tuple(drop or ()),
            roles=TableRoles(id=id, label=label, weight=weight, match_id=match_id),
        )


@router.put("/tables/{namespace}/{name}", status_code=201, summary="Upload a table", openapi_extra=_BODY)
def upload(
    known: UploadTable, namespace: str, name: str, how: Annotated[_Upload, Depends()], file: Spooled
) -> TableView:
    """Store the body as the next version of the table; a bad line is named and leaves nothing behind."""
    remarks: list[str] = []
    known.again().may("upload", "table")  # the body may have taken hours
    try:
        manifest = known.backends.tables.upload(
            str(file),
            f"{namespace}/{name}",
            format=how.form,
            options=how.options,
            owner=known.user.name,
            remark=remarks.append,
            may_follow=lambda newest: refuse_after(known.user, newest),  # it may have come into being meanwhile
        )
    except PlatformError as error:
        # The user knows the file by its own name, not by where it was spooled.
        error.message = error.message.replace(str(file), file.name)
        raise
    return table_view(manifest, manifest.owner).model_copy(update={"remarks": tuple(remarks)})


@router.get("/tables", summary="The tables of this party")
def tables(known: ReadTable) -> list[TableView]:
    """Every version of each, by name and version; what cannot be read stands at the end and says so."""
    owner_of_job = cache(known.backends.owner_of)  # a job makes many tables
    found, unreadable = known.backends.tables.listing()
    return [
        table_view(manifest, manifest.owner if manifest.ref.job is None else owner_of_job(manifest.ref.job))
        for manifest in found
    ] + [_unreadable(entry) for entry in unreadable]


@router.get("/tables/{namespace}/{name}", summary="One table")
def show(known: ReadTable, namespace: str, name: str, version: Version = None) -> TableView:
    """Its columns, rows and digest."""
    manifest = known.backends.tables.manifest(table_reference(namespace, name, version))
    return table_view(manifest, known.backends.owner_of_table(manifest))


@router.get("/tables/{namespace}/{name}/head", summary="The first rows of a table")
def head(
    known: ReadSomeRows,
    namespace: str,
    name: str,
    version: Version = None,
    rows: Annotated[int, Query(ge=1, le=MAX_HEAD_ROWS)] = 10,
) -> HeadView:
    """Rows as JSON values; only of one's own tables and of those that belong to nobody."""
    store = known.backends.tables
    manifest = store.manifest(table_reference(namespace, name, version))
    reference = f"{manifest.name}@{manifest.version}"
    known.may("read", Thing("rows", reference, known.backends.owner_of_table(manifest)))
    first = store.head(reference, rows)
    values = zip(*(_shown(column.to_pylist()) for column in first.columns), strict=True)
    return HeadView(reference=reference, columns=tuple(first.column_names), rows=tuple(values))


@router.delete("/tables/{namespace}/{name}", status_code=204, summary="Delete a table")
def delete(known: DeleteSomeTable, namespace: str, name: str, version: Version = None) -> None:
    """All versions, or one; its owner or an officer may. One that a job needs stays: `409 flow.in_use`."""
    store, reference = known.backends.tables, table_reference(namespace, name, version)
    every = store.references(reference)
    for exact in every:
        known.may("delete", Thing("table", reference, _owner(known, exact)))
    known.backends.service.refuse_needed(map(str, every), is_table=True)
    store.delete(reference)


def _owner(known: Caller, exact: TableRef) -> str:
    """Whose a version is; of one that cannot be read, nobody's who could be named."""
    try:
        return known.backends.owner_of_table(known.backends.tables.manifest(exact))
    except (Damaged, SchemaVersionUnknown):
        return known.backends.owner_of(exact.job) if exact.job else NO_USER


def table_view(manifest: TableManifest, owner: str) -> TableView:
    """What REST shows of a table."""
    return TableView(
        reference=f"{manifest.name}@{manifest.version}",
        name=str(manifest.name),
        version=manifest.version,
        rows=manifest.rows,
        columns=tuple(ColumnView(name=name, type=kind) for name, kind in manifest.columns),
        size_bytes=sum(part.bytes for part in manifest.partitions),
        partitions=len(manifest.partitions),
        digest=manifest.digest,
        roles=manifest.roles,
        owner=owner,
        created_at=str(manifest.created_at),
    )


def _unreadable(entry: Unreadable) -> TableView:
    ref = TableRef.parse(entry.reference)
    return TableView(
        reference=entry.reference,
        name=ref.table,
        version=ref.version or 0,
        rows=0,
        columns=(),
        size_bytes=0,
        partitions=0,
        digest="",
        damaged=entry.problem,
    )


def table_reference(namespace: str, name: str, version: int | None) -> str:
    """`namespace/name`, with `@version` if there is one."""
    return f"{namespace}/{name}" if version is None else f"{namespace}/{name}@{version}"


def _shown(values: list[object]) -> list[object]:
    return [_shown_value(value) for value in values]


def _shown_value(value: object) -> object:
    """The value for JSON, which knows neither dates nor numbers that are not finite: those become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)
