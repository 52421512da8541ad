"""Real data for the demo, from scikit-learn: breast cancer for the linear model, handwritten digits for the network.

Rows are split between two hospitals; a tenth to a fifth of them is held out at the first hospital for evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SPLIT_SEED = 7
PIXEL_MAX = 16.0


@dataclass(frozen=True)
class Upload:
    """One file for one party: what `flow data upload` is given."""

    party: str
    file: Path
    table: str


def write_breast(folder: Path, hospitals: Sequence[str]) -> tuple[list[Upload], float]:
    """Write `breast/train` for each hospital and `breast/test` for the first.

    Returns:
        The files, and the AUC of scikit-learn's logistic regression on the pooled training rows, scored on the test
        rows: what the federation has to reach.
    """
    data = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    ids = np.arange(len(data.target))
    train, test = train_test_split(ids, test_size=0.2, random_state=SPLIT_SEED, stratify=data.target)
    uploads = []
    for hospital, rows in zip(hospitals, np.array_split(train, len(hospitals)), strict=True):
        file = folder / f"breast_train_{hospital}.csv"
        csv.write_csv(_table(rows, names, data.data[rows], data.target[rows]), file)
        uploads.append(Upload(hospital, file, "breast/train"))
    file = folder / "breast_test.csv"
    csv.write_csv(_table(test, names, data.data[test], data.target[test]), file)
    uploads.append(Upload(hospitals[0], file, "breast/test"))
    pooled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pooled.fit(data.data[train], data.target[train])
    auc = roc_auc_score(data.target[test], pooled.predict_proba(data.data[test])[:, 1])
    return uploads, float(auc)


def write_digits(folder: Path, hospitals: Sequence[str]) -> list[Upload]:
    """Write `digits/train` for each hospital and `digits/test` for the first, pixels scaled to [0, 1]."""
    data = load_digits()
    names = [f"pixel_{i}" for i in range(data.data.shape[1])]
    pixels = (data.data / PIXEL_MAX).astype(np.float32)
    ids = np.arange(len(data.target))
    train, test = train_test_split(ids, test_size=0.2, random_state=SPLIT_SEED, stratify=data.target)
    uploads = []
    for hospital, rows in zip(hospitals, np.array_split(train, len(hospitals)), strict=True):
        file = folder / f"digits_train_{hospital}.parquet"
        parquet.write_table(_table(rows, names, pixels[rows], data.target[rows]), file)
        uploads.append(Upload(hospital, file, "digits/train"))
    file = folder / "digits_test.parquet"
    parquet.write_table(_table(test, names, pixels[test], data.target[test]), file)
    uploads.append(Upload(hospitals[0], file, "digits/test"))
    return uploads


def _table(ids: NDArray[np.int64], names: Sequence[str], x: NDArray[np.floating], y: NDArray[np.int64]) -> pa.Table:
    columns = {"id": pa.array(ids), "y": pa.array(y.astype(np.int64))}
    columns.update({name: pa.array(np.ascontiguousarray(x[:, i])) for i, name in enumerate(names)})
    return pa.table(columns)
