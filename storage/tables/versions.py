"""Which versions of which tables there are, by the names of their manifests' files.

tables/<namespace>/<name>/<version>.json       the manifest; creating it is what registers a version
tables/<namespace>/<name>/<version>.deleted    what is left of a deleted version, so that its number is not reused
"""

from __future__ import annotations

from typing import TypeAlias

from runtime.suggestions import did_you_mean
from storage.errors import Damaged, SchemaVersionUnknown, TableNotFound
from storage.place import Place
from storage.refs import TableRef
from storage.tables.manifest import TableManifest

ROOT = "tables"
_MANIFEST = ".json"
_DELETED = ".deleted"

Known: TypeAlias = dict[int, TableManifest | Damaged | SchemaVersionUnknown]
"""By each version's number its manifest, or what is wrong with that."""


class TableVersions:
    """The versions of all tables in a place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def tables(self) -> list[TableRef]:
        """The tables that have a version, by name."""
        namespaces = [(space, self._place.folders(f"{ROOT}/{space}")) for space in self._place.folders(ROOT)]
        found = [TableRef(space, name) for space, names in namespaces for name in names]
        return [ref for ref in found if self.numbers(ref)]

    def numbers(self, ref: TableRef, *, deleted: bool = False) -> list[int]:
        """The versions of a table, oldest first; with the `deleted` ones, or without."""
        suffixes = (_MANIFEST, _DELETED) if deleted else (_MANIFEST,)
        names = self._place.files(table_folder(ref))
        stems = {name.removesuffix(suffix) for name in names for suffix in suffixes if name.endswith(suffix)}
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def known(self, ref: TableRef, *, deleted: bool = False) -> Known:
        """What is known of each version, oldest first; of the `deleted` ones too, or not."""
        return {number: self._known(ref.at(number)) for number in self.numbers(ref, deleted=deleted)}

    def history(self, ref: TableRef) -> list[TableManifest]:
        """What is known of every version that can be read, deleted ones too, oldest first."""
        return [known for known in self.known(ref, deleted=True).values() if isinstance(known, TableManifest)]

    def read(self, exact: TableRef) -> TableManifest:
        """The manifest of a version. Raises TableNotFound, Damaged, SchemaVersionUnknown."""
        try:
            return self._read(exact, _MANIFEST)
        except FileNotFoundError:
            raise TableNotFound(f"The table '{exact}' was deleted just now.") from None

    def resolve(self, wanted: TableRef) -> TableRef:
        """The reference with its version. Raises TableNotFound, which says what is there instead."""
        numbers = self.numbers(wanted)
        if not numbers:
            hint = did_you_mean(wanted.table, [ref.table for ref in self.tables()])
            raise TableNotFound(f"There is no table '{wanted.table}' here.", hint=hint)
        if wanted.version is None:
            return wanted.at(numbers[-1])
        if wanted.version not in numbers:
            raise TableNotFound(
                f"There is no version {wanted.version} of the table '{wanted.table}' here.",
                hint=f"Versions are {', '.join(map(str, numbers))}.",
            )
        return wanted

    def create(self, exact: TableRef, manifest: TableManifest) -> bool:
        """Make a version visible; False, and nothing done, if there is one of that number."""
        return self._place.create_once(_path(exact, _MANIFEST), manifest.to_json())

    def retire(self, exact: TableRef) -> None:
        """Make a version a deleted one."""
        self._place.move(_path(exact, _MANIFEST), _path(exact, _DELETED))

    def _known(self, exact: TableRef) -> TableManifest | Damaged | SchemaVersionUnknown:
        try:
            try:
                return self._read(exact, _MANIFEST)
            except FileNotFoundError:
                return self._read(exact, _DELETED)
        except (Damaged, SchemaVersionUnknown) as error:
            return error

    def _read(self, exact: TableRef, suffix: str) -> TableManifest:
        return TableManifest.from_json(self._place.read(_path(exact, suffix)), f"The manifest of {exact}")


def table_folder(ref: TableRef) -> str:
    """Where every version of a table lies."""
    return f"{ROOT}/{ref.table}"


def _path(exact: TableRef, suffix: str) -> str:
    return f"{table_folder(exact)}/{exact.version}{suffix}"
