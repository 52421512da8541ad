"""Copies what an executor staged into files of our own, and only the copies are looked at.

An executor runs code of components, and may hold its files open after its end. So nothing of its files is moved:
the bytes are copied, digests and rows are taken from the copies, and what we know ourselves (whose it is, what made it,
when, how long) is written by us. What it says beside the content is believed in so far as it has the right form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

import pyarrow as pa
import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from ulid import ULID

from runtime.bounds import Count
from runtime.canonical import canonical_json, parse_json
from runtime.errors import InvalidInput
from runtime.text import first_problem, is_printable, printable
from storage.columns.roles import check_roles, check_weights
from storage.columns.types import ContentDigest, check_days, normal_schema
from storage.documents import MAX_DOCUMENT_BYTES
from storage.errors import Damaged, OutputRefused
from storage.facts import TableRoles
from storage.frames import read_partition
from storage.models.model import ARRAYS_FILE, DETAILS_FILE, describe_model
from storage.place import Place
from storage.publication import OutputKind
from storage.refs import OutputRef
from storage.tables.manifest import Column, Partition, TableManifest
from storage.tables.table import schema_of

MANIFEST_FILE = "manifest.json"
MAX_KIND_CHARS = 200


def _printable(text: str) -> str:
    if not is_printable(text):
        raise ValueError("it has control characters")
    return text


_PART = re.compile(r"data/[0-9A-Za-z]{1,40}/part-[0-9]{5,9}\.arrow")
_Kind = Annotated[str, Field(min_length=1, max_length=MAX_KIND_CHARS), AfterValidator(_printable)]


class _StagedTable(BaseModel):
    """What is read of the manifest of a staged table; the rest is known better here."""

    columns: tuple[Column, ...]
    partitions: tuple[Partition, ...]
    roles: TableRoles


class _StagedModel(BaseModel):
    """What is read of the details of a staged model."""

    kind: _Kind
    kind_schema: Count
    details: dict[str, Any]


class Report(BaseModel):
    """A JSON report of a versioned kind."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    kind: _Kind
    schema_: Count = Field(alias="schema")
    body: dict[str, Any]


@contextmanager
def refusing(kind: OutputKind, ref: OutputRef) -> Iterator[None]:
    """Whatever is wrong with a staged output, as one error that names it. Raises OutputRefused."""
    try:
        yield
    except FileNotFoundError:
        raise _refused(kind, ref, "a file of it is missing") from None
    except InvalidInput as error:
        raise _refused(kind, ref, error.message) from error
    except pydantic.ValidationError as error:
        raise _refused(kind, ref, first_problem(error)) from error


def copy_table(place: Place, staged: str, ours: str, ref: OutputRef, origin: str, now: datetime) -> TableManifest:
    """Copy a staged table to the folder `ours`, in partitions of our naming; its manifest, as measured.

    Raises:
        InvalidInput, ValidationError, FileNotFoundError: It is not a table.
    """
    claimed = _StagedTable.model_validate(_document(place, staged, MANIFEST_FILE))
    files = [partition.file for partition in claimed.partitions]
    if len(set(files)) != len(files) or not all(_PART.fullmatch(file) for file in files):
        raise Damaged("its manifest names files that are no partitions")
    schema = schema_of(claimed.columns)
    if normal_schema(schema) != schema:
        raise Damaged("it has columns of a type that tables do not have")
    check_roles(claimed.roles, schema)
    digest, partitions, data, rows = ContentDigest(schema), [], f"data/{ULID()}", 0
    for number, file in enumerate(files):
        name = f"{data}/part-{number:05d}.arrow"
        copied = place.copy(staged, file, f"{ours}/{name}")
        batch = _rows(place, f"{ours}/{name}", schema)
        check_weights(claimed.roles, batch, rows)
        digest.update(batch)
        rows += batch.num_rows
        partitions.append(Partition(name, batch.num_rows, copied.bytes, copied.sha256))
    return TableManifest(
        name=ref.table.table,
        version=1,
        columns=claimed.columns,
        rows=rows,
        digest=digest.hexdigest(),
        partitions=tuple(partitions),
        roles=claimed.roles,
        created_at=now,
        origin=origin,
    )


def copy_model(place: Place, staged: str, ours: str) -> str:
    """Copy a staged model to the folder `ours`; its digest, as measured. Raises as `copy_table` does."""
    claimed = _StagedModel.model_validate(_document(place, staged, DETAILS_FILE))
    copied = place.copy(staged, ARRAYS_FILE, f"{ours}/{ARRAYS_FILE}")
    return describe_model(
        place.inside(ours), claimed.kind, claimed.kind_schema, claimed.details, size_bytes=copied.bytes
    )


def copy_report(place: Place, staged: str, ours: str) -> str:
    """Copy a staged report to the file `ours`; its digest. Raises as `copy_table` does."""
    folder, _, name = staged.rpartition("/")
    content = _document(place, folder, name)
    Report.model_validate(content)
    data = canonical_json(content)
    place.write(ours, data)
    return sha256(data).hexdigest()


def _document(place: Place, folder: str, name: str) -> object:
    return parse_json(place.read_below(folder, name, MAX_DOCUMENT_BYTES), name, most_values=MAX_DOCUMENT_BYTES)


def _rows(place: Place, file: str, schema: pa.Schema) -> pa.RecordBatch:
    with place.open(file) as opened:
        batch = read_partition(opened.read_buffer())
    check_days(batch)
    if batch.schema != schema:
        raise Damaged("its partitions do not have the columns of its manifest")
    return batch


def _refused(kind: OutputKind, ref: OutputRef, problem: str) -> OutputRefused:
    return OutputRefused(
        f"The {kind} '{ref.output}' that the executor of task {ref.task} left is none: {printable(problem)[:300]}",
        hint="Look at the component's code: only what is written through its outputs has the right form.",
    )
