"""The models of a party: by job, task and output, a part for each role that the party holds.

models/<job>/<task>.<output>/<role>/model.safetensors + model.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ulid import ULID

from runtime.suggestions import did_you_mean
from runtime.text import printable
from storage.documents import Unreadable
from storage.errors import BadReference, Damaged, ModelNotFound, SchemaVersionUnknown
from storage.models.model import Model, ModelDetails, check_model, load_model, read_details, save_model
from storage.place import Place
from storage.publication import OutputKind, Publications
from storage.refs import OutputRef

ROOT = "models"


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
        details = read_details(self.place_of(info), what)
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
            details = read_details(self._place.inside(_path(ref, role)), f"The model {ref} as {printable(role)}")
        except ModelNotFound:
            return None
        except (Damaged, SchemaVersionUnknown) as error:
            return Unreadable(str(ref), error.message, printable(role))
        return ModelInfo(ref, role, details.kind, details.digest, details.bytes)


def model_folder(ref: OutputRef) -> str:
    """Where every role's part of a model lies."""
    return _path(ref, "")


def _path(ref: OutputRef, role: str) -> str:
    return f"{ROOT}/{ref.job}/{ref.task}.{ref.output}" + (f"/{role}" if role else "")
