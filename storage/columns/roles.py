"""Which columns of a table play a role, and what its rows are aligned to: one value from upload to agreement.

A column plays one role at most. Every column without a role is a feature.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from storage.columns.types import check_column, normal_schema
from storage.columns.unique import numbered_row
from storage.errors import BadSource, BadWeight, ColumnTypeRefused
from storage.facts import TableRoles


def check_roles(roles: TableRoles, schema: pa.Schema) -> None:
    """Check that columns of a table can play these roles.

    Raises:
        ColumnNotFound: There is no such column.
        BadSource: A column plays two roles.
        ColumnTypeRefused: Its type does not suit its role, or no table holds it.
    """
    stored, playing = normal_schema(schema), dict[str, str]()
    for role, column in roles.spoken.items():
        check_column(column, stored.names, f"the {role} column")
        if column in playing:
            raise BadSource(f"Column '{column}' cannot be both the {playing[column]} and the {role}.")
        playing[column] = role
    for column in roles.ids:
        _check_ids(stored.field(column))
    if roles.weight is not None:
        _check_weights(stored.field(roles.weight))
    if roles.label is not None:
        _check_label(stored.field(roles.label))


def check_weights(
    roles: TableRoles, rows: pa.RecordBatch, first: int, row_name: Callable[[int], str] = numbered_row
) -> None:
    """Raise BadWeight for a row whose weight is none; row `first` of the table is the first of these.

    `row_name` says where a row of the table stands, for people.
    """
    if roles.weight is None:
        return
    weights = rows.column(roles.weight)
    fit = pc.fill_null(pc.and_(pc.is_finite(weights), pc.greater_equal(weights, 0)), False)
    row = pc.index(fit, False).as_py()
    if row >= 0:
        found, where = weights[row].as_py(), row_name(first + row)
        raise BadWeight(
            f"Column '{roles.weight}' has {'no value' if found is None else found} in {where}, which is no weight. "
            "Nothing was stored.",
            hint="A row's weight is a finite number of at least 0.",
        )


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


def _check_label(field: pa.Field) -> None:
    if pa.types.is_temporal(field.type) or pa.types.is_binary(field.type):
        raise ColumnTypeRefused(
            f"A label column holds numbers, or classes as whole numbers; '{field.name}' holds {field.type}.",
            hint="Is the right column named as the label? A time that is to be predicted is written as a number, "
            "such as the days since a date.",
        )
