"""Writes what a model says about rows: a table of ids, labels where there are any, probabilities, likeliest class.

Source: none, it applies a model. Conversation: none. Nobody learns anything of another party's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from algorithms.component import TRAINERS, Component, Line, ModelUse, Parameters, Port, PortKind
from algorithms.context import Context
from algorithms.errors import RolesRefused
from algorithms.inference import CLASSIFIERS, Prediction
from algorithms.inference import predict as predict_rows
from algorithms.learning import nothing
from algorithms.rows import required_model, required_table
from party.ids import Role
from storage.client import Table

CHUNK_ROWS = 1 << 16


class PredictParameters(Parameters):
    """Parameters of `predict@1`: there are none."""


def conversation(_parameters: PredictParameters) -> tuple[Line, ...]:
    """Nothing is said."""
    return ()


def check(_parameters: PredictParameters, roles: Mapping[Role, Sequence[str]]) -> None:
    """Rules of the whole job. Raises RolesRefused."""
    if not any(roles.get(role) for role in TRAINERS):
        raise RolesRefused("The task has no party with rows.", hint="Name a guest or a host.")


def predict(ctx: Context, _parameters: PredictParameters) -> None:
    """A guest or host: write the predictions for the own rows."""
    model = required_model(ctx, "model", *CLASSIFIERS)
    table = required_table(ctx, "data")
    result = predictions(table, predict_rows(model, table))
    ids, label = table.manifest.id_column, table.manifest.label_column
    writer = ctx.outputs.table_writer("predictions", result.schema, id_column=ids, label_column=label)
    for start in range(0, result.num_rows, CHUNK_ROWS):
        writer.write(result.slice(start, CHUNK_ROWS))
    writer.close()


def predictions(table: Table, prediction: Prediction) -> pa.Table:
    """The columns of the output: `probability` of the second class, or `probability_C` of each of many; `predicted`."""
    kept = [name for name in (table.manifest.id_column, table.manifest.label_column) if name]
    columns: dict[str, Any] = {name: table.to_arrow().column(name) for name in kept}
    if prediction.binary:
        columns["probability"] = prediction.probabilities[:, 1]
    else:
        columns |= {f"probability_{c}": prediction.probabilities[:, i] for i, c in enumerate(prediction.classes)}
    return pa.table(columns | {"predicted": prediction.predicted})


COMPONENT = Component(
    name="predict",
    version=1,
    parameters=PredictParameters,
    inputs={"model": Port(PortKind.MODEL, TRAINERS, use=ModelUse.APPLY), "data": Port(PortKind.TABLE, TRAINERS)},
    outputs={"predictions": Port(PortKind.TABLE, TRAINERS)},
    conversation=conversation,
    roles={Role.GUEST: predict, Role.HOST: predict},
    minimum={},
    check=check,
    learns=nothing,
)
