"""Writes what a model says about rows: a table of the columns that play a role, probabilities, likeliest class.

Source: none, it applies a model. Conversation: none. Nobody learns anything of another party's rows.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from algorithms.api.component import Component, RoleSpec
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS
from algorithms.api.errors import ColumnNameTaken
from algorithms.api.parameters import Parameters
from algorithms.api.ports import ModelUse, Port, PortKind
from algorithms.kit.disclosure import NOTHING
from algorithms.models.inference import CLASSIFIERS, Prediction
from algorithms.models.inference import predict as predict_rows
from storage.client import Table


class PredictParameters(Parameters):
    """Parameters of `predict@1`: there are none."""


def predict(ctx: Context, _parameters: PredictParameters) -> None:
    """A guest or host: write the predictions for the own rows."""
    model, table = ctx.required_model("model"), ctx.required_table("data")
    ctx.outputs.save_table("predictions", predictions(table, predict_rows(model, table)), table.manifest.roles)


def predictions(table: Table, prediction: Prediction) -> pa.Table:
    """The output: columns that play a role, `probability` (of many classes: `probability_C` of each), `predicted`.

    Raises:
        ColumnNameTaken: A column that plays a role is called as one of the others.
    """
    kept = {name: table.to_arrow().column(name) for name in table.manifest.roles.columns.values()}
    made: dict[str, Any] = {"predicted": prediction.predicted}
    if prediction.binary:
        made = {"probability": prediction.probabilities[:, 1]} | made
    else:
        made = {f"probability_{c}": prediction.probabilities[:, i] for i, c in enumerate(prediction.classes)} | made
    for name in kept.keys() & made.keys():
        raise ColumnNameTaken(
            f"Table {table.title} has a column '{name}' that plays a role; predictions have one of that name.",
            hint="Upload the table with that column under another name.",
        )
    return pa.table(kept | made)


COMPONENT = Component(
    name="predict",
    version=1,
    parameters=PredictParameters,
    inputs={
        "model": Port(PortKind.MODEL, TRAINERS, use=ModelUse.APPLY, models=CLASSIFIERS),
        "data": Port(PortKind.TABLE, TRAINERS),
    },
    outputs={"predictions": Port(PortKind.TABLE, TRAINERS, rows_of="data")},
    roles=dict.fromkeys(TRAINERS, RoleSpec(predict, learns=NOTHING)),
)
