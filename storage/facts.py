"""What is known of a table or model beside its rows: which columns play a role, and who may use it for what.

A door of its own, pure and quick to import, for rooms and programs that open no Arrow data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from storage.refs import MAX_OUTPUT_CHARS, OUTPUT_PATTERN

Patterns = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...], Field(max_length=1000)
]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The matching that put a table's rows into an order that other parties share.

    Attributes:
        result: Its output that the rows follow, `job/task.output`.
        order_digest: SHA-256 of the order, hex; the same at every party whose rows follow it.
    """

    result: Annotated[str, Field(pattern=f"^{OUTPUT_PATTERN}$", max_length=MAX_OUTPUT_CHARS)]
    order_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class TableRoles:
    """The names of the columns that play a role; None: no column does.

    Attributes:
        id: Tells the table's rows apart.
        label: Is to be predicted.
        weight: How much a row counts, a finite number of at least 0.
        match_id: What the rows are matched by with those of other parties, where that is another column than the id;
            rows may share one, or have none.
        alignment: What the rows are aligned to; None: they were not matched.
    """

    id: str | None = None
    label: str | None = None
    weight: str | None = None
    match_id: str | None = None
    alignment: Alignment | None = None

    @property
    def columns(self) -> dict[str, str]:
        """By each role that a column plays, that column."""
        found = {"id": self.id, "label": self.label, "weight": self.weight, "match_id": self.match_id}
        return {role: column for role, column in found.items() if column is not None}

    @property
    def spoken(self) -> dict[str, str]:
        """The same, the roles in words for people."""
        return {role.replace("_", " "): column for role, column in self.columns.items()}

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns of ids: they name things, so they are kept to the letter."""
        return tuple(column for column in (self.id, self.match_id) if column is not None)

    @property
    def told(self) -> TableRoles:
        """What other parties hear: which roles are played, by columns that are called after them, and the alignment."""
        named: dict[str, str] = {role: role for role in self.columns}
        return TableRoles(**named, alignment=self.alignment)


NO_ROLES = TableRoles()


class UsePolicy(BaseModel):
    """Who may use a table, and for what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    components: Patterns = Field(default=("*",), description='Components allowed, such as "homo_lr@1"; "*": all.')
    peers: Patterns = Field(default=("*",), description='Parties it may be used with; "*": all.')
    users: Patterns = Field(
        default=(), description='Users of this party whose jobs may read it beside its owner\'s; "*": all.'
    )
    min_rows: int = Field(default=0, ge=0, lt=1 << 63, description="Versions with fewer rows are not used.")
    expires: AwareDatetime | None = Field(default=None, description="When the permission ends.")


OF_HOLDERS = UsePolicy(peers=())
"""A model's policy unless one was set: no party is granted it beside those that hold it."""
