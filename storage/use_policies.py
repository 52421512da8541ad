"""Who may use a table or a model, and for what: a small file beside it that its owner may change at any time.

tables/<namespace>/<name>/use.json                for every version of the name, also those to come
models/<job>/<task>.<output>/use.json             for every role's part

Without the file a table may be used for everything, and a model only among the parties that hold it.
"""

from __future__ import annotations

import pydantic

from runtime.text import first_problem
from storage.errors import Damaged
from storage.facts import OF_HOLDERS, UsePolicy
from storage.models.store import ModelStore, model_folder
from storage.place import Place
from storage.refs import OutputRef, TableRef
from storage.tables.store import TableStore
from storage.tables.versions import table_folder

FILE = "use.json"


class UsePolicies:
    """The use policies of a party's tables and models, as they are now."""

    def __init__(self, place: Place, tables: TableStore, models: ModelStore) -> None:
        self._place = place
        self._tables = tables
        self._models = models

    def of_table(self, ref: str | TableRef) -> UsePolicy:
        """Of a table, deleted or not: what was made of it is held to it. Raises TableNotFound, Damaged."""
        manifest = self._tables.last(ref)
        return self._read(f"{table_folder(manifest.ref)}/{FILE}", UsePolicy())

    def set_table(self, ref: str | TableRef, policy: UsePolicy | None) -> UsePolicy:
        """Set it for every version of the name, or take it back; what holds from now on. Raises TableNotFound."""
        manifest = self._tables.last(ref)
        self._write(f"{table_folder(manifest.ref)}/{FILE}", policy)
        return self.of_table(ref)

    def of_model(self, ref: str | OutputRef) -> UsePolicy:
        """Of a model; of a deleted one, what was set. Raises ModelNotFound, or Damaged if the file cannot be read."""
        target = OutputRef.parse(ref)
        if not self._place.exists(f"{model_folder(target)}/{FILE}"):
            self._models.info(target)
        return self._read(f"{model_folder(target)}/{FILE}", OF_HOLDERS)

    def set_model(self, ref: str | OutputRef, policy: UsePolicy | None) -> UsePolicy:
        """Set it, or take it back; what holds from now on. Raises ModelNotFound."""
        info = self._models.info(ref)
        self._write(f"{model_folder(info.ref)}/{FILE}", policy)
        return self.of_model(ref)

    def _read(self, path: str, unset: UsePolicy) -> UsePolicy:
        try:
            return UsePolicy.model_validate_json(self._place.read(path))
        except FileNotFoundError:
            return unset
        except pydantic.ValidationError as error:
            raise Damaged(
                f"{path} is not a use policy: {first_problem(error)}.", hint="Set it again, or take it back."
            ) from None

    def _write(self, path: str, policy: UsePolicy | None) -> None:
        if policy is None:
            self._place.remove(path)
        else:
            self._place.write(path, policy.model_dump_json(indent=1).encode())
