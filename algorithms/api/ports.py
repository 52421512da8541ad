"""What a component takes and makes: inputs and outputs, and what columns a table must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from algorithms.api.conversation import TRAINERS
from party.ids import Role
from storage.client import TableRoles


class ModelUse(StrEnum):
    """What a component does with a model it is given."""

    START = "start"  # what leaves afterwards depends on it
    APPLY = "apply"  # only the own results depend on it


class PortKind(StrEnum):
    """What an input accepts or an output makes."""

    TABLE = "table"
    MODEL = "model"
    REPORT = "report"


class Need(StrEnum):
    """Whether a table has a column of some role."""

    MUST = "must"
    MAY = "may"
    NO = "no"  # it would do nothing


@dataclass(frozen=True)
class Columns:
    """What a table must and may have beside its features."""

    id: Need = Need.MAY
    label: Need = Need.MAY
    weight: Need = Need.NO
    match_id: Need = Need.MAY
    alignment: Need = Need.MAY

    def unfit(self, roles: TableRoles) -> Iterator[str]:
        """What is wrong with a table whose columns play these roles, after "it has": `no label column`."""
        played = {*roles.columns, *(("alignment",) if roles.alignment else ())}
        for role in (each.name for each in fields(self)):
            word = role.replace("_", " ") + ("" if role == "alignment" else " column")
            if getattr(self, role) is Need.MUST and role not in played:
                yield f"no {word}, which is needed"
            if getattr(self, role) is Need.NO and role in played:
                yield f"a {word}, which would do nothing"


LABELLED = dict.fromkeys(TRAINERS, Columns(label=Need.MUST))


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        kind: What it takes or makes.
        roles: Which roles have it.
        optional: Whether it may be left out (inputs only).
        use: What is done with it (inputs that are models only).
        columns: By role, what its table must and may have (inputs that are tables only).
        models: The kinds of model it takes, or the one that it makes; of an input, none: any.
        tells_rows: Whether all parties of the job are told how many rows its table has (inputs that are tables only).
        rows_of: The input whose table has at least as many rows at the same party (outputs that are tables only);
            empty: that is not known.
    """

    kind: PortKind
    roles: frozenset[Role]
    optional: bool = False
    use: ModelUse = ModelUse.START
    columns: Mapping[Role, Columns] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    tells_rows: bool = False
    rows_of: str = ""
