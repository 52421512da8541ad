"""The JSON documents that lie in a store: which schema one has, how large it may be, and one that cannot be read."""

from __future__ import annotations

from typing import NamedTuple

import pydantic
from pydantic import BaseModel, Field

from storage.errors import Damaged, SchemaVersionUnknown

MAX_DOCUMENT_BYTES = 32 * 2**20  # of a report, of a model's details, of the manifest of an output


class Unreadable(NamedTuple):
    """A table or model that is there and cannot be read: which, what is wrong, and the role whose part it is."""

    reference: str
    problem: str
    role: str = ""


class _Versioned(BaseModel):
    schema_: int = Field(alias="schema")


def check_schema(data: bytes, known: int, what: str) -> None:
    """Raise SchemaVersionUnknown unless the JSON's `schema` is the known one; Damaged if it has none."""
    try:
        found = _Versioned.model_validate_json(data).schema_
    except pydantic.ValidationError as error:
        raise Damaged(f"{what} is not JSON with a 'schema' number.") from error
    if found != known:
        raise SchemaVersionUnknown(
            f"{what} has schema {found}; this program knows {known}.", hint="Update this program, or store it again."
        )
