"""Which columns of a table play a role, and what its rows are aligned to: one value from upload to agreement.

A column plays one role at most. Every column without a role is a feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from storage.columns.types import check_column, normal_schema
from storage.columns.unique import numbered_row
from storage.errors import BadSource, BadWeight, ColumnTypeRefused
from storage.refs import MAX_OUTPUT_CHARS, OUTPUT_PATTERN


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

    def check(self, schema: pa.Schema) -> None:
        """Check that columns of a table can play these roles.

        Raises:
            ColumnNotFound: There is no such column.
            BadSource: A column plays two roles.
            ColumnTypeRefused: Its type does not suit its role, or no table holds it.
        """
        stored, playing = normal_schema(schema), dict[str, str]()
        for role, column in self.spoken.items():
            check_column(column, stored.names, f"the {role} column")
            if column in playing:
                raise BadSource(f"Column '{column}' cannot be both the {playing[column]} and the {role}.")
            playing[column] = role
        for column in self.ids:
            _check_ids(stored.field(column))
        if self.weight is not None:
            _check_weights(stored.field(self.weight))

    def check_weights(self, rows: pa.RecordBatch, first: int, row_name: Callable[[int], str] = numbered_row) -> None:
        """Raise BadWeight for a row whose weight is none; row `first` of the table is the first of these.

        `row_name` says where a row of the table stands, for people.
        """
        if self.weight is None:
            return
        weights = rows.column(self.weight)
        fit = pc.fill_null(pc.and_(pc.is_finite(weights), pc.greater_equal(weights, 0)), False)
        row = pc.index(fit, False).as_py()
        if row >= 0:
            found, where = weights[row].as_py(), row_name(first + row)
            raise BadWeight(
                f"Column '{self.weight}' has {'no value' if found is None else found} in {where}, which is no weight. "
                "Nothing was stored.",
                hint="A row's weight is a finite number of at least 0.",
            )


NO_ROLES = TableRoles()


def _check_ids(field: pa.Field) -> None:
    kind = field.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind)):
        raise ColumnTypeRefused(
            f"An id column holds text or whole numbers; '{field.name}' holds {kind}.",
            hint="If the ids are to be kept as they stand, give the column's type: --type COLUMN=text.",
        )


def _check_weights(field: pa.Field) -> None:
    if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
        raise ColumnTypeRefused(f"A weight column holds numbers; '{field.name}' holds {field.type}.")
