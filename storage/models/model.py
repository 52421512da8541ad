"""A model and the two files that hold it: arrays as safetensors, everything else as JSON beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from runtime.bounds import Count
from runtime.canonical import canonical_json
from runtime.text import first_problem
from storage.documents import MAX_DOCUMENT_BYTES, check_schema
from storage.errors import Damaged, ModelNotFound, UnsupportedValue
from storage.place import Place
from storage.publication import changed

SCHEMA = 1
ARRAYS_FILE = "model.safetensors"
DETAILS_FILE = "model.json"
_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}
)


@dataclass(frozen=True, eq=False)
class Model:
    """One party's part of a model.

    Attributes:
        kind: What it is: `linear`, `torch`, `scaler`, ...
        schema: Version of that kind's arrays and details.
        arrays: Arrays by name.
        details: Whatever else is needed to use it, as JSON.
    """

    kind: str
    schema: int
    arrays: Mapping[str, NDArray[Any]]
    details: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 of the content: kind, schema, details, and each array's dtype, shape and bytes."""
        arrays = ((name, self.arrays[name]) for name in sorted(self.arrays))
        return _digest(self.kind, self.schema, self.details, arrays)


class ModelDetails(BaseModel):
    """The JSON file beside the arrays."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: int = Field(default=SCHEMA, alias="schema")
    kind: str
    kind_schema: Count
    details: dict[str, Any]
    digest: str
    bytes: Count


def save_model(where: str | Path | Place, model: Model) -> str:
    """Write a model to a folder that is not there yet or holds a model to replace; returns its digest.

    Raises:
        UnsupportedValue: An array's dtype, a detail that is not JSON, or details too large.
    """
    place = Place.of(where)
    arrays = {name: _storable(name, array) for name, array in model.arrays.items()}
    content = safetensors.save(arrays)
    stored = Model(model.kind, model.schema, arrays, model.details)
    details = ModelDetails(
        kind=model.kind,
        kind_schema=model.schema,
        details=dict(model.details),
        digest=stored.digest(),
        bytes=len(content),
    )
    document = details.model_dump_json(by_alias=True, indent=1).encode()
    if len(document) > MAX_DOCUMENT_BYTES:
        raise UnsupportedValue(
            f"The details of the model have {len(document)} bytes; they have at most {MAX_DOCUMENT_BYTES}.",
            hint="Save what is large as arrays.",
        )
    place.remove(DETAILS_FILE)  # its presence is what makes a model whole
    place.write(ARRAYS_FILE, content)
    place.write(DETAILS_FILE, document)
    return details.digest


def describe_model(place: Place, kind: str, kind_schema: int, details: Mapping[str, Any], *, size_bytes: int) -> str:
    """Write the JSON file beside arrays that lie in a folder already; returns the model's digest, as measured.

    Raises:
        Damaged: The arrays cannot be read.
    """
    digest = _digest(kind, kind_schema, details, _stored_arrays(place, "its arrays"))
    whole = ModelDetails(kind=kind, kind_schema=kind_schema, details=dict(details), digest=digest, bytes=size_bytes)
    place.write(DETAILS_FILE, whole.model_dump_json(by_alias=True, indent=1).encode())
    return digest


def load_model(where: str | Path | Place, what: str = "The model") -> Model:
    """The model in a folder; errors name it `what`. Raises ModelNotFound, Damaged, SchemaVersionUnknown."""
    place = Place.of(where)
    details = read_details(place, what)
    model = Model(details.kind, details.kind_schema, dict(_stored_arrays(place, what)), details.details)
    if model.digest() != details.digest:
        raise changed(what)
    return model


def check_model(place: Place, details: ModelDetails, what: str) -> None:
    """Compare the stored arrays and details with their digest; one array is in memory at a time. Raises Damaged."""
    arrays = _stored_arrays(place, what)
    if _digest(details.kind, details.kind_schema, details.details, arrays) != details.digest:
        raise changed(what)


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    found = np.asarray(array)
    if found.dtype.name not in _DTYPES:
        raise UnsupportedValue(
            f"The model's array '{name}' has dtype {found.dtype}, which cannot be stored.",
            hint=f"Use one of {', '.join(sorted(_DTYPES))}.",
        )
    return np.asarray(found, dtype=found.dtype.newbyteorder("<"), order="C")


def read_details(place: Place, what: str) -> ModelDetails:
    """The details of the model in a folder; errors name it `what`. Raises as `load_model` does."""
    try:
        data = place.read(DETAILS_FILE)
    except FileNotFoundError:
        raise ModelNotFound(f"{what} is not here.") from None
    check_schema(data, SCHEMA, f"{what}, file {DETAILS_FILE},")
    try:
        return ModelDetails.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise Damaged(f"{what} is not described by its {DETAILS_FILE}: {first_problem(error)}.") from error


def _digest(kind: str, schema: int, details: Mapping[str, Any], arrays: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """`arrays` by name, sorted."""
    digest = sha256(canonical_json({"kind": kind, "schema": schema, "details": dict(details)}))
    for name, found in arrays:
        array = np.asarray(found, order="C")
        digest.update(canonical_json([name, array.dtype.name, list(array.shape)]))
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _stored_arrays(place: Place, what: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays in a folder by name, sorted, one at a time where they lie on this host. Raises Damaged."""
    path = place.local(ARRAYS_FILE)
    try:
        if path is None:
            yield from sorted(safetensors.load(place.read(ARRAYS_FILE)).items())
            return
        with safe_open(path, framework="numpy") as file:
            for name in sorted(file.keys()):
                yield name, _readable(file.get_tensor(name))
    except FileNotFoundError:
        raise Damaged(f"{what} has no arrays.") from None
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Damaged(f"{what} has arrays that cannot be read: {str(error)[:200]}.") from error


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"one is of {array.dtype.name}")
    return array
