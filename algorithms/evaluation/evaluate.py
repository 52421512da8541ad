"""How good a model is on rows it was not trained on. Each party judges its own rows; nothing is said.

Sources: scikit-learn's metrics; KS is the largest distance, in either direction, between the true and false
positive rates over all thresholds (Kolmogorov-Smirnov between the scores of the two classes).

Conversation: none. Nobody learns anything of another party's rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from algorithms.api.component import Component, RoleSpec
from algorithms.api.context import Context
from algorithms.api.conversation import TRAINERS
from algorithms.api.parameters import Parameters
from algorithms.api.ports import LABELLED, ModelUse, Port, PortKind
from algorithms.kit.disclosure import NOTHING
from algorithms.kit.feature_matrix import binary_labels, places_of_labels
from algorithms.models import linear
from algorithms.models.inference import CLASSIFIERS, Prediction, predict

ROC_SCHEMA = 1
MOST_ROC_POINTS = 200


class EvaluateParameters(Parameters):
    """Parameters of `evaluate@1`."""

    threshold: float = Field(
        0.5, ge=0, le=1, description="From this probability on, a row counts as positive (binary)."
    )


def judge(ctx: Context, parameters: EvaluateParameters) -> None:
    """A guest or host: report the model's metrics on the own rows."""
    model, table = ctx.required_model("model"), ctx.required_table("data")
    prediction = predict(model, table)
    if prediction.binary and model.kind == linear.KIND:
        binary_labels(table)  # names both ways of writing them
    places = places_of_labels(table, prediction.classes, "The model was not trained on that class.")
    if prediction.binary:
        y = places.astype(np.float64)
        ctx.report(0, **binary_metrics(y, prediction.probabilities[:, 1], parameters.threshold))
        if len(np.unique(y)) > 1:
            ctx.outputs.save_report("roc", "roc", ROC_SCHEMA, roc_points(y, prediction.probabilities[:, 1]))
        return
    ctx.report(0, **multiclass_metrics(prediction.classes[places], prediction))


def binary_metrics(y: NDArray[np.float64], positive: NDArray[np.float64], threshold: float) -> dict[str, float]:
    """Metrics of probabilities against labels in {0, 1}; AUC and KS only if both labels occur."""
    from sklearn import metrics  # slow to import

    guess = positive >= threshold
    found = {
        "accuracy": metrics.accuracy_score(y, guess),
        "precision": metrics.precision_score(y, guess, zero_division=0),
        "recall": metrics.recall_score(y, guess, zero_division=0),
        "f1": metrics.f1_score(y, guess, zero_division=0),
        "log_loss": metrics.log_loss(y, positive, labels=[0, 1]),
    }
    if len(np.unique(y)) > 1:
        false_rate, true_rate, _ = metrics.roc_curve(y, positive)
        found |= {"auc": metrics.roc_auc_score(y, positive), "ks": np.max(np.abs(true_rate - false_rate))}
    return {name: float(value) for name, value in found.items()}


def multiclass_metrics(labels: NDArray[np.int64], prediction: Prediction) -> dict[str, float]:
    """Metrics over all classes; macro means, and AUC one against the rest if every class occurs."""
    from sklearn import metrics

    classes, probabilities = prediction.classes, prediction.probabilities
    average = {"labels": classes, "average": "macro", "zero_division": 0}
    found = {
        "accuracy": metrics.accuracy_score(labels, prediction.predicted),
        "precision": metrics.precision_score(labels, prediction.predicted, **average),
        "recall": metrics.recall_score(labels, prediction.predicted, **average),
        "f1": metrics.f1_score(labels, prediction.predicted, **average),
        "log_loss": metrics.log_loss(labels, probabilities, labels=classes),
    }
    if len(np.unique(labels)) == len(classes):
        found["auc"] = metrics.roc_auc_score(labels, probabilities, multi_class="ovr", labels=classes)
    return {name: float(value) for name, value in found.items()}


def roc_points(y: NDArray[np.float64], positive: NDArray[np.float64]) -> dict[str, Any]:
    """The ROC curve, thinned to at most 200 points; the ends are kept."""
    from sklearn import metrics

    false_rate, true_rate, thresholds = metrics.roc_curve(y, positive)
    kept = np.unique(np.linspace(0, len(false_rate) - 1, MOST_ROC_POINTS).round().astype(np.int64))
    return {
        "false_positive_rate": false_rate[kept].tolist(),
        "true_positive_rate": true_rate[kept].tolist(),
        "thresholds": np.minimum(thresholds[kept], 1.0).tolist(),  # scikit-learn starts at infinity
        "rows": len(y),
    }


COMPONENT = Component(
    name="evaluate",
    version=1,
    parameters=EvaluateParameters,
    inputs={
        "model": Port(PortKind.MODEL, TRAINERS, use=ModelUse.APPLY, models=CLASSIFIERS),
        "data": Port(PortKind.TABLE, TRAINERS, columns=LABELLED),
    },
    outputs={"roc": Port(PortKind.REPORT, TRAINERS)},
    roles=dict.fromkeys(TRAINERS, RoleSpec(judge, learns=NOTHING)),
)
