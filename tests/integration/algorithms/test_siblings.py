"""What one training checks its siblings check too: one class, labels, columns; and one that diverged says so."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.api.errors import BadFeatures, BadLabels, OneClass
from algorithms.local_run import run_local
from algorithms.registry import component
from tests.fixtures.algorithms import (
    ARBITER,
    FIXED_POINT,
    GUEST,
    HOST,
    RecordingExchange,
    breast,
    halves,
    make_table,
)

SECURE = {"protection": {"kind": "paillier", "keygen": "subgroup"}}
TRAININGS = pytest.mark.parametrize("name", ["homo_lr", "homo_nn"])


def train(name, tables, parameters=None, validate=None):
    parties = {a: {"train": t} for a, t in zip((GUEST, HOST), tables, strict=True)} | {ARBITER: {}}
    if validate is not None:
        parties[HOST]["validate"] = validate
    return run_local(component(name), {"rounds": 2} | (parameters or {}), parties, RecordingExchange())


@TRAININGS
@pytest.mark.parametrize("how", [{}, FIXED_POINT, SECURE], ids=["floats", "fixed point", "paillier"])
@pytest.mark.parametrize("label", [0, 1, -1])
def test_labels_that_are_all_one_class_are_refused(tmp_path, name, how, label):
    tables = [make_table(tmp_path, f"t{i}", breast().x[i : i + 20], [label] * 20) for i in range(2)]
    with pytest.raises(OneClass, match=rf"All trainers' labels are \[{label}\]; there is nothing to tell apart"):
        train(name, tables, how)


@TRAININGS
@pytest.mark.parametrize("how", [{}, SECURE], ids=["floats", "paillier"])
def test_parties_that_have_one_class_each_train(tmp_path, name, how):
    tables = [make_table(tmp_path, f"t{i}", breast().x[i : i + 20], [i] * 20) for i in range(2)]
    assert len(train(name, tables, how).series(GUEST, "loss")) == 3


@TRAININGS
def test_validation_rows_with_labels_that_nobody_trains_on_are_refused(tmp_path, name):
    signed = make_table(tmp_path, "signed", breast().x_test[:10], breast().y_test[:10] * 2 - 1)
    with pytest.raises(BadLabels, match=r"'test/signed@1': label column 'label' holds -1"):
        train(name, halves(tmp_path, breast()), validate=signed)


@pytest.mark.parametrize("made", ["homo_lr", "homo_nn", "scale"])
@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((4, 0)), "no feature column"),
        (np.array([[0.0], [np.nan], [1.0], [2.0]]), "'x00' is missing or not finite in row 2"),
        (np.array([[0.0], [1.0], [2.0], [np.inf]]), "'x00' is missing or not finite in row 4"),
    ],
    ids=["no columns", "missing", "infinite"],
)
def test_columns_that_cannot_be_learnt_from_are_named_alike(tmp_path, made, x, says):
    port = "data" if made == "scale" else "train"
    tables = {a: {port: make_table(tmp_path, a.party, x, [0, 1, 0, 1])} for a in (GUEST, HOST)}
    with pytest.raises(BadFeatures, match=says):
        run_local(component(made), {}, tables | {ARBITER: {}}, RecordingExchange())


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(
        "algorithms.local_run._LocalRun.log", lambda run, level, text: lines.append((run.address, level, text))
    )
    return lines


@pytest.mark.parametrize(
    "how", [{}, {"encoding": {"kind": "fixed_point", "value_range": 2.0**20}}], ids=["floats", "fixed point"]
)
def test_a_training_that_diverged_says_so_at_every_trainer(tmp_path, said, how):
    tables = halves(tmp_path, breast())
    local = {"learning_rate": 3.0, "weight_decay": 1.0, "batch_size": 10_000}  # the weights double every round
    result = train("homo_lr", tables, {"rounds": 12, "local": local} | how)
    assert result.series(GUEST, "loss")[-1] > 100
    assert {(address, level) for address, level, _ in said} == {(GUEST, "warning"), (HOST, "warning")}
    assert all(text.startswith("Training diverged: after 12 rounds the loss is") for *_, text in said)


@TRAININGS
def test_a_training_that_went_well_warns_of_nothing(tmp_path, said, name):
    train(name, halves(tmp_path, breast()))
    assert not said
