"""The rows of a table as arrays to learn from; every check names the table and the column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import BadFeatures, BadLabels, LabelsNotBinary, LabelsNotClasses, WrongModel
from storage.client import Model, Table

MOST_CLASSES = 1_000


def require_kind(model: Model, *kinds: str) -> Model:
    """The model unchanged. Raises WrongModel unless it is of one of the kinds, in a schema known here."""
    if model.kind not in kinds or model.schema != 1:
        wanted = " or ".join(f"'{kind}'" for kind in kinds)
        raise WrongModel(f"A model of kind '{model.kind}', schema {model.schema}; {wanted}, schema 1, is needed.")
    return model


def feature_names(table: Table) -> tuple[str, ...]:
    """The columns to learn from. Raises BadFeatures if there is none."""
    if not table.features:
        raise BadFeatures(
            f"Table {table.title} has no feature column.",
            hint="A table needs a column beside those that play a role, such as id and label.",
        )
    return tuple(table.features)


def features(table: Table, names: Sequence[str], dtype: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
    """The named columns as an (n, d) array. Raises BadFeatures: a column missing, not numeric, or not finite."""
    known = set(table.features)
    missing = [name for name in names if name not in known]
    if missing:
        raise BadFeatures(
            f"Table {table.title} has no feature column '{missing[0]}' ({len(missing)} of {len(names)} are missing).",
            hint="The columns must be those of the table the model is trained on.",
        )
    schema = dict(table.manifest.columns)
    for name in names:
        if not schema[name].startswith(("int", "uint", "float", "double", "half", "bool")):
            raise BadFeatures(
                f"Table {table.title}: column '{name}' is {schema[name]}, not a number.",
                hint="Encode it as numbers before uploading, or leave it out.",
            )
    x = table.matrix(list(names), dtype)
    wrong = ~np.isfinite(x)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise BadFeatures(
            f"Table {table.title}: column '{names[column]}' is missing or not finite in row {row + 1}.",
            hint="Fill in or drop such rows before uploading.",
        )
    return x


def binary_labels(table: Table) -> NDArray[np.float64]:
    """Labels as 0.0 and 1.0. Raises LabelsNotBinary unless all are in {0, 1} or all in {-1, 1}."""
    labels = _labels(table, LabelsNotBinary)
    if np.isin(labels, (0, 1)).all() or np.isin(labels, (-1, 1)).all():
        return np.asarray(labels == 1, dtype=np.float64)
    odd = labels[~np.isin(labels, (-1, 0, 1))]
    found = f"{odd[0]:g}" if len(odd) else "-1 and 0"
    raise LabelsNotBinary(
        f"Table {table.title}: label column '{table.manifest.roles.label}' holds {found}.",
        hint="A binary classifier learns labels 0 and 1, or -1 and 1.",
    )


def label_coding(table: Table) -> NDArray[np.int64]:
    """The two values that binary labels are written in: 0 and 1, or -1 and 1; empty where every label is 1.

    Raises LabelsNotBinary.
    """
    binary_labels(table)
    labels = np.unique(_labels(table, LabelsNotBinary)).astype(np.int64)
    return np.array([labels[0], 1]) if labels[0] < 1 else labels[:0]


def class_labels(table: Table) -> NDArray[np.int64]:
    """Labels as integers. Raises LabelsNotClasses unless they are whole numbers."""
    labels = _labels(table, LabelsNotClasses)
    whole = labels == np.rint(labels)
    if not whole.all():
        raise LabelsNotClasses(
            f"Table {table.title}: label column '{table.manifest.roles.label}' holds {labels[~whole][0]:g}.",
            hint="A classifier learns whole numbers, one for each class.",
        )
    return labels.astype(np.int64)


def places_of_labels(
    table: Table, classes: NDArray[np.int64], hint: str, unfit: type[BadLabels] = LabelsNotClasses
) -> NDArray[np.int64]:
    """Where each row's label stands among the classes, which are sorted. Raises `unfit` for one that is none."""
    labels = class_labels(table)
    places = np.searchsorted(classes, labels)
    unknown = labels[classes[np.minimum(places, len(classes) - 1)] != labels]
    if len(unknown):
        raise unfit(f"Table {table.title}: label column '{table.manifest.roles.label}' holds {unknown[0]}.", hint=hint)
    return places.astype(np.int64)


def distinct_classes(table: Table) -> NDArray[np.int64]:
    """The labels that occur, to tell others. Raises LabelsNotClasses if they may be values of rows, being so many."""
    classes = np.unique(class_labels(table))
    most = min(MOST_CLASSES, max(2, table.rows // 2))
    if len(classes) > most:
        raise LabelsNotClasses(
            f"Table {table.title}: label column '{table.manifest.roles.label}' has {len(classes)} distinct values "
            f"in {table.rows} rows; at most {most} can be classes.",
            hint="The set of classes leaves the party. Is the right column named as the label?",
        )
    return classes


def _labels(table: Table, unfit: type[BadLabels]) -> NDArray[np.float64]:
    column = table.manifest.roles.label
    if column is None:
        raise unfit(f"Table {table.title} has no label column.", hint="Upload it again with `--label COLUMN`.")
    kind = dict(table.manifest.columns)[column]
    if not kind.startswith(("int", "uint", "float", "double", "bool")):
        raise unfit(
            f"Table {table.title}: label column '{column}' is {kind}, not a number.", hint="Encode it as numbers."
        )
    labels = np.asarray(table.labels(), dtype=np.float64)
    if not np.isfinite(labels).all():
        row = int(np.argmax(~np.isfinite(labels)))
        raise unfit(
            f"Table {table.title}: label column '{column}' is missing or not finite in row {row + 1}.",
            hint="Drop rows without a label before uploading.",
        )
    return labels
