"""What a value is, in memory: its kinds, ciphertexts, and what an encoded one says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import pyarrow as pa
from numpy.typing import NDArray


class Kind(StrEnum):
    """Every kind of value there is."""

    NONE = "none"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    BYTES = "bytes"
    ARRAY = "array"
    CIPHERTEXTS = "ciphertexts"
    TABLE = "table"
    RECORD = "record"


@dataclass(frozen=True, eq=False, repr=False)
class Ciphertexts:
    """A vector of ciphertexts of one width; what the bytes mean is the business of the scheme that made them.

    Attributes:
        key: Fingerprint of the public key, hex.
        layout: How values are packed into ciphertexts, JSON.
        count: How many values are packed in all.
        data: A `pa.FixedSizeBinaryArray` without nulls.
        owner: The address whose key it is; empty: of a key that several hold.
    """

    key: str
    layout: str
    count: int
    data: pa.FixedSizeBinaryArray
    owner: str = ""

    def __repr__(self) -> str:
        return f"<Ciphertexts: {self.count} values in {len(self.data)} ciphertexts, key {self.key[:16]}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ciphertexts):
            return NotImplemented
        mine, theirs = ((each.key, each.owner, each.layout, each.count) for each in (self, other))
        return mine == theirs and bool(self.data.equals(other.data))

    __hash__ = None  # type: ignore[assignment]


Array: TypeAlias = NDArray[Any]
Field: TypeAlias = bool | int | float | str | bytes | Array | Ciphertexts | None
Value: TypeAlias = Field | pa.Table | Mapping[str, Field]


@dataclass(frozen=True)
class FieldHeader:
    """What a field is: its kind; dtype and shape of an array; the Arrow type of a table's column; size of ciphertexts.

    Attributes:
        name: The field's name, empty for a bare value.
        kind: The kind of the field; `table` for the column of a table.
        dtype: NumPy dtype of an array, Arrow type of a table's column, else None.
        shape: Shape of an array, `(values,)` of ciphertexts, else None.
        key: Fingerprint of the key of ciphertexts, else None.
        owner: Whose key that is, as the ciphertexts say.
    """

    name: str
    kind: Kind
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    key: str | None = None
    owner: str = ""


@dataclass(frozen=True)
class ValueHeader:
    """What an encoded value says about itself before its data is read."""

    version: int
    kind: Kind
    fields: tuple[FieldHeader, ...]
