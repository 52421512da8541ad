"""Models at rest: arrays as safetensors, everything else as JSON beside them.

models/<job>/<task>.<output>/<role>/model.safetensors + model.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors import numpy as safetensors
from ulid import ULID

from party.canonical import canonical_json
from party.suggestions import did_you_mean
from storage.errors import Damaged, ModelNotFound, UnsupportedValue
from storage.manifest import check_schema
from storage.place import Place
from storage.refs import OutputRef

SCHEMA = 1
ROOT = "models"
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
        head = {"kind": self.kind, "schema": self.schema, "details": dict(self.details)}
        digest = sha256(canonical_json(head))
        for name in sorted(self.arrays):
            array = np.asarray(self.arrays[name], order="C")
            digest.update(canonical_json([name, array.dtype.name, list(array.shape)]))
            digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


class ModelDetails(BaseModel):
    """The JSON file beside the arrays."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: int = Field(default=SCHEMA, alias="schema")
    kind: str
    kind_schema: int
    details: dict[str, Any]
    digest: str
    bytes: int


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a stored model without reading its arrays."""

    ref: OutputRef
    role: str
    kind: str
    digest: str
    bytes: int

    @property
    def reference(self) -> str:
        """`job/task.output`."""
        return str(self.ref)


_Infos: TypeAlias = list[ModelInfo]  # since a method below is named `list`


def save_model(where: str | Path | Place, model: Model) -> str:
    """Write a model to a folder that is not there yet or holds a model to replace; returns its digest.

    Raises:
        UnsupportedValue: An array's dtype, or a detail that is not JSON.
    """
    place = Place.of(where)
    arrays = {name: _storable(name, array) for name, array in model.arrays.items()}
    content = safetensors.save(arrays)
    stored = Model(model.kind, model.schema, arrays, model.details)
    sidecar = ModelDetails(
        kind=model.kind,
        kind_schema=model.schema,
        details=dict(model.details),
        digest=stored.digest(),
        bytes=len(content),
    )
    place.remove(DETAILS_FILE)  # its presence is what makes a model whole
    place.write(ARRAYS_FILE, content)
    place.write(DETAILS_FILE, sidecar.model_dump_json(by_alias=True, indent=1).encode())
    return sidecar.digest


def load_model(where: str | Path | Place) -> Model:
    """The model in a folder. Raises ModelNotFound, Damaged, SchemaVersionUnknown."""
    place = Place.of(where)
    try:
        sidecar = _sidecar(place, DETAILS_FILE)
        arrays = safetensors.load(place.read(ARRAYS_FILE))
    except FileNotFoundError:
        raise ModelNotFound(f"There is no model in {place}.") from None
    except SafetensorError as error:
        raise Damaged(f"The arrays of the model in {place} cannot be read: {error}.") from error
    model = Model(sidecar.kind, sidecar.kind_schema, arrays, sidecar.details)
    if model.digest() != sidecar.digest:
        raise Damaged(f"The model in {place} is not the one that was stored: its digest differs.")
    return model


class ModelStore:
    """The models of a party. A job's output may have a part for each role that the party holds."""

    def __init__(self, where: str | Path | Place) -> None:
        self._place = Place.of(where)

    def save(self, ref: str | OutputRef, model: Model, role: str = "own") -> str:
        """Store a model whole or not at all, over one of the same name and role; returns its digest."""
        target = _path(OutputRef.parse(ref), role)
        incoming = f"{ROOT}/.new-{ULID()}"
        try:
            digest = save_model(self._place.inside(incoming), model)
            self._place.remove(target)
            self._place.move(incoming, target)
        finally:
            self._place.remove(incoming)
        return digest

    def load(self, ref: str | OutputRef, role: str | None = None) -> Model:
        """A model; of several roles' parts the named one, else the first that is there. Raises ModelNotFound."""
        found = self._info(OutputRef.parse(ref), role)
        return load_model(self.place_of(found))

    def info(self, ref: str | OutputRef, role: str | None = None) -> ModelInfo:
        """What is known of a model. Raises ModelNotFound."""
        return self._info(OutputRef.parse(ref), role)

    def details(self, info: ModelInfo) -> ModelDetails:
        """What is needed to use a model beside its arrays. Raises ModelNotFound if it went meanwhile."""
        try:
            return _sidecar(self.place_of(info), DETAILS_FILE)
        except FileNotFoundError:
            raise ModelNotFound(f"There is no model '{info.ref}' here any more.") from None

    def place_of(self, info: ModelInfo) -> Place:
        """Where the files of a model lie."""
        return self._place.inside(_path(info.ref, info.role))

    def list(self) -> _Infos:
        """Every model, by job, task, output and role."""
        found: _Infos = []
        for job in self._place.folders(ROOT):
            for output in self._place.folders(f"{ROOT}/{job}"):
                found += self._parts(OutputRef.parse(f"{job}/{output}"))
        return found

    def delete(self, ref: str | OutputRef) -> None:
        """Delete a model, every role's part; a use policy that was set stays. Raises ModelNotFound."""
        target = OutputRef.parse(ref)
        self._info(target, None)
        for role in self._place.folders(_path(target, "")):
            self._place.remove(_path(target, role))
        if not self._place.files(_path(target, "")):
            self._place.remove(_path(target, ""))

    def adopt(self, ref: OutputRef, role: str, staged: str) -> None:
        """Make the model in the folder `staged` visible; nothing happens if it is already."""
        if self._place.exists(staged):
            self._place.remove(_path(ref, role))
            self._place.move(staged, _path(ref, role))

    def _info(self, ref: OutputRef, role: str | None) -> ModelInfo:
        parts = self._parts(ref)
        for part in parts:
            if role in (None, part.role):
                return part
        if parts:
            roles = ", ".join(part.role for part in parts)
            raise ModelNotFound(f"There is no model '{ref}' as {role} here.", hint=f"Its roles are {roles}.")
        here = [str(info.ref) for info in self.list()]
        raise ModelNotFound(f"There is no model '{ref}' here.", hint=did_you_mean(str(ref), here))

    def _parts(self, ref: OutputRef) -> _Infos:
        found: _Infos = []
        for role in self._place.folders(_path(ref, "")):
            place = self._place.inside(_path(ref, role))
            if place.exists(DETAILS_FILE):
                sidecar = _sidecar(place, DETAILS_FILE)
                found.append(ModelInfo(ref, role, sidecar.kind, sidecar.digest, sidecar.bytes))
        return found


def model_folder(ref: OutputRef) -> str:
    """Where every role's part of a model lies."""
    return _path(ref, "")


def _path(ref: OutputRef, role: str) -> str:
    return f"{ROOT}/{ref.job}/{ref.task}.{ref.output}" + (f"/{role}" if role else "")


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    found = np.asarray(array)
    if found.dtype.name not in _DTYPES:
        raise UnsupportedValue(
            f"The model's array '{name}' has dtype {found.dtype}, which cannot be stored.",
            hint=f"Use one of {', '.join(sorted(_DTYPES))}.",
        )
    return np.asarray(found, dtype=found.dtype.newbyteorder("<"), order="C")


def _sidecar(place: Place, file: str) -> ModelDetails:
    data = place.read(file)
    check_schema(data, SCHEMA, f"{file} in {place}")
    try:
        return ModelDetails.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise Damaged(f"{file} in {place} does not describe a model: {error.errors()[0]['msg']}.") from error
