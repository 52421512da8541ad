"""Models at rest: arrays as safetensors, everything else as JSON beside them.

models/<job>/<task>.<output>/<role>/model.safetensors + model.json
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors
from ulid import ULID

from runtime.bounds import Count
from runtime.canonical import canonical_json
from runtime.suggestions import did_you_mean
from runtime.text import first_problem, printable
from storage.errors import BadReference, Damaged, ModelNotFound, SchemaVersionUnknown, UnsupportedValue
from storage.manifest import MAX_DOCUMENT_BYTES, Unreadable, check_schema
from storage.place import Place
from storage.publication import OutputKind, Publications, changed
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
_Unreadables: TypeAlias = list[Unreadable]
_Parts: TypeAlias = list[ModelInfo | Unreadable]


def save_model(where: str | Path | Place, model: Model) -> str:
    """Write a model to a folder that is not there yet or holds a model to replace; returns its digest.

    Raises:
        UnsupportedValue: An array's dtype, a detail that is not JSON, or details too large.
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
    document = sidecar.model_dump_json(by_alias=True, indent=1).encode()
    if len(document) > MAX_DOCUMENT_BYTES:
        raise UnsupportedValue(
            f"The details of the model have {len(document)} bytes; they have at most {MAX_DOCUMENT_BYTES}.",
            hint="Save what is large as arrays.",
        )
    place.remove(DETAILS_FILE)  # its presence is what makes a model whole
    place.write(ARRAYS_FILE, content)
    place.write(DETAILS_FILE, document)
    return sidecar.digest


def describe_model(place: Place, kind: str, kind_schema: int, details: Mapping[str, Any], *, size_bytes: int) -> str:
    """Write the JSON file beside arrays that lie in a folder already; returns the model's digest, as measured.

    Raises:
        Damaged: The arrays cannot be read.
    """
    digest = _digest(kind, kind_schema, details, _stored_arrays(place, "its arrays"))
    sidecar = ModelDetails(kind=kind, kind_schema=kind_schema, details=dict(details), digest=digest, bytes=size_bytes)
    place.write(DETAILS_FILE, sidecar.model_dump_json(by_alias=True, indent=1).encode())
    return digest


def load_model(where: str | Path | Place, what: str = "The model") -> Model:
    """The model in a folder; errors name it `what`. Raises ModelNotFound, Damaged, SchemaVersionUnknown."""
    place = Place.of(where)
    sidecar = _sidecar(place, what)
    model = Model(sidecar.kind, sidecar.kind_schema, dict(_stored_arrays(place, what)), sidecar.details)
    if model.digest() != sidecar.digest:
        raise changed(what)
    return model


def check_model(place: Place, sidecar: ModelDetails, what: str) -> None:
    """Compare the stored arrays and details with their digest; one array is in memory at a time. Raises Damaged."""
    arrays = _stored_arrays(place, what)
    if _digest(sidecar.kind, sidecar.kind_schema, sidecar.details, arrays) != sidecar.digest:
        raise changed(what)


class ModelStore:
    """The models of a party. A job's output may have a part for each role that the party holds."""

    def __init__(self, where: str | Path | Place) -> None:
        self._place = Place.of(where)
        self._published = Publications(self._place)

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
        """A model; of several roles' parts the named one, else the first that is there.

        Raises:
            ModelNotFound: There is none.
            Damaged: It is not what was stored, or not what its job published.
        """
        found = self._info(OutputRef.parse(ref), role)
        model = load_model(self.place_of(found), f"The model {found.ref} as {found.role}")
        self._published.check(found.ref, OutputKind.MODEL, found.role, model.digest())
        return model

    def info(self, ref: str | OutputRef, role: str | None = None) -> ModelInfo:
        """What is known of a model. Raises ModelNotFound, Damaged."""
        return self._info(OutputRef.parse(ref), role)

    def checked(self, info: ModelInfo) -> ModelDetails:
        """What is needed to use a model beside its arrays, once those were found to be as its digest says.

        Raises:
            ModelNotFound: It went meanwhile.
            Damaged: It is not what was stored, or not what its job published.
        """
        what = f"The model {info.ref} as {info.role}"
        details = _sidecar(self.place_of(info), what)
        check_model(self.place_of(info), details, what)
        self._published.check(info.ref, OutputKind.MODEL, info.role, details.digest)
        return details

    def place_of(self, info: ModelInfo) -> Place:
        """Where the files of a model lie."""
        return self._place.inside(_path(info.ref, info.role))

    def list(self) -> _Infos:
        """Every model that can be read, by job, task, output and role."""
        return self.listing()[0]

    def listing(self) -> tuple[_Infos, _Unreadables]:
        """Every model, and what lies among them that cannot be read."""
        found: _Infos = []
        damaged: _Unreadables = []
        for job in self._place.folders(ROOT):
            for output in self._place.folders(f"{ROOT}/{job}"):
                reference = f"{job}/{output}"
                try:
                    parts = self._parts(OutputRef.parse(reference))
                except BadReference as error:
                    damaged.append(Unreadable(printable(reference), error.message))
                    continue
                found += [part for part in parts if isinstance(part, ModelInfo)]
                damaged += [part for part in parts if isinstance(part, Unreadable)]
        return found, damaged

    def delete(self, ref: str | OutputRef) -> None:
        """Delete a model, every role's part; a use policy that was set stays. Raises ModelNotFound."""
        target = OutputRef.parse(ref)
        if not self._parts(target):
            raise self._not_found(target)
        for role in self._place.folders(_path(target, "")):
            self._place.remove(_path(target, role))
        if not self._place.files(_path(target, "")):
            self._place.remove(_path(target, ""))

    def adopt(self, ref: OutputRef, role: str, staged: str) -> None:
        """Make the model in the folder `staged` visible, over what is there."""
        self._place.remove(_path(ref, role))
        self._place.move(staged, _path(ref, role))

    def _info(self, ref: OutputRef, role: str | None) -> ModelInfo:
        parts = self._parts(ref)
        for part in parts:
            if role in (None, part.role):
                if isinstance(part, Unreadable):
                    raise Damaged(part.problem, hint="Delete the model, or bring it back from a backup.")
                return part
        if parts:
            roles = ", ".join(part.role for part in parts)
            raise ModelNotFound(f"There is no model '{ref}' as {role} here.", hint=f"Its roles are {roles}.")
        raise self._not_found(ref)

    def _not_found(self, ref: OutputRef) -> ModelNotFound:
        here = [str(info.ref) for info in self.list()]
        return ModelNotFound(f"There is no model '{ref}' here.", hint=did_you_mean(str(ref), here))

    def _parts(self, ref: OutputRef) -> _Parts:
        return [part for role in self._place.folders(_path(ref, "")) if (part := self._part(ref, role)) is not None]

    def _part(self, ref: OutputRef, role: str) -> ModelInfo | Unreadable | None:
        try:
            sidecar = _sidecar(self._place.inside(_path(ref, role)), f"The model {ref} as {printable(role)}")
        except ModelNotFound:
            return None
        except (Damaged, SchemaVersionUnknown) as error:
            return Unreadable(str(ref), error.message, printable(role))
        return ModelInfo(ref, role, sidecar.kind, sidecar.digest, sidecar.bytes)


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


def _sidecar(place: Place, what: str) -> ModelDetails:
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
