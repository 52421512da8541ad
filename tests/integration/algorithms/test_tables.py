"""Components that read and write tables: scaling, evaluation, prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from algorithms.api.component import RoleSpec, Terms
from algorithms.api.errors import (
    BadLabels,
    ColumnNameTaken,
    FeaturesDiffer,
    MissingInput,
    ParametersDiffer,
    RolesRefused,
    WrongModel,
)
from algorithms.evaluation.evaluate import binary_metrics, roc_points
from algorithms.feature.scale import is_constant, join_limbs, split_limbs
from algorithms.local_run import run_local
from algorithms.registry import component
from party.ids import Role
from storage.client import Model, TableRoles, TableStore
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

EVALUATE, PREDICT, SCALE = component("evaluate"), component("predict"), component("scale")
NAMES = [f"x{i:02}" for i in range(30)]


def alone(made, inputs, parameters=None):
    return run_local(made, parameters or {}, {GUEST: inputs}, RecordingExchange())


@pytest.fixture
def raw(tmp_path):
    return halves(tmp_path, breast(scaled=False))


def linear(weights, features=NAMES, **details):
    kept = {"features": features, "classes": [0, 1]} | details
    return Model(kind="linear", schema=1, arrays={"weights": weights, "bias": np.zeros(1)}, details=kept)


@pytest.mark.parametrize("kind", ["plain", "paillier"])
def test_a_scaler_is_that_of_all_rows(raw, kind):
    parties = {GUEST: {"data": raw[0]}, HOST: {"data": raw[1]}, ARBITER: {}}
    result = run_local(SCALE, {"protection": {"kind": kind}}, parties, RecordingExchange())
    x = breast(scaled=False).x
    for address, table in ((GUEST, raw[0]), (HOST, raw[1])):
        model, made = result.model(address), result.outputs[address]["data"]
        np.testing.assert_allclose(model.arrays["mean"], x.mean(axis=0), rtol=1e-11)
        np.testing.assert_allclose(model.arrays["deviation"], x.std(axis=0), rtol=1e-11)
        assert made.column_names == ["id", "label", *NAMES]
        assert made.column("id").equals(table.to_arrow().column("id"))
        expected = (table.matrix() - x.mean(axis=0)) / x.std(axis=0)
        np.testing.assert_allclose(np.column_stack([made.column(n).to_numpy() for n in NAMES]), expected, atol=1e-9)


def test_a_scaler_made_before_is_applied_without_a_word(tmp_path, raw):
    parties = {GUEST: {"data": raw[0]}, HOST: {"data": raw[1]}, ARBITER: {}}
    model = run_local(SCALE, {}, parties, RecordingExchange()).model(GUEST)
    data, exchange = breast(scaled=False), RecordingExchange()
    test = make_table(tmp_path, "test", data.x_test)
    result = run_local(SCALE, {"fit": False}, {GUEST: {"data": test, "model": model}, ARBITER: {}}, exchange)
    made = result.outputs[GUEST]["data"]
    assert not exchange.sent
    assert made.column("x00").to_numpy() == pytest.approx(
        (data.x_test[:, 0] - data.x[:, 0].mean()) / data.x[:, 0].std()
    )
    with pytest.raises(MissingInput, match="'model'"):
        alone(SCALE, {"data": test}, {"fit": False})


def test_what_is_made_of_a_table_row_by_row_keeps_the_columns_that_play_a_role(tmp_path):
    rows = pa.table({"x": [1.0, 2.0], "who": ["a", "a"], "id": [1, 2], "n": [0.5, 2.0], "y": [0, 1]})
    store, roles = TableStore(tmp_path), TableRoles(id="id", label="y", weight="n", match_id="who")
    with store.writer("test/roles", rows.schema, roles) as writer:
        writer.write(rows)
    table = store.open("test/roles")
    model = Model("scaler", 1, {"mean": np.zeros(1), "deviation": np.ones(1)}, {"features": ["x"]})
    scaled = alone(SCALE, {"data": table, "model": model}, {"fit": False}).outputs[GUEST]["data"]
    assert scaled.column_names == ["id", "y", "n", "who", "x"]
    assert scaled.select(rows.column_names).equals(rows)
    predicted = alone(PREDICT, {"data": table, "model": linear(np.ones(1), ["x"])}).outputs[GUEST]["predictions"]
    assert predicted.column_names == ["id", "y", "n", "who", "probability", "predicted"]


def test_a_constant_column_becomes_zero(tmp_path):
    tables = [make_table(tmp_path, f"c{i}", np.full((5, 2), 7.25)) for i in range(2)]
    parties = {GUEST: {"data": tables[0]}, HOST: {"data": tables[1]}, ARBITER: {}}
    made = run_local(SCALE, {}, parties, RecordingExchange()).outputs[HOST]["data"]
    assert made.column("x01").to_pylist() == [0.0] * 5


def test_a_column_that_varies_by_rounding_alone_is_constant(tmp_path):
    tables = [make_table(tmp_path, f"n{i}", np.full((rows, 1), 1e10 / 3)) for i, rows in enumerate((3, 7))]
    parties = {GUEST: {"data": tables[0]}, HOST: {"data": tables[1]}, ARBITER: {}}
    assert run_local(SCALE, {}, parties, RecordingExchange()).model(HOST).arrays["deviation"].tolist() == [1.0]
    mean, variance = np.array([1e10 / 3, 1e10 / 3, 0.0]), np.array([1e-13, 1e-6, 0.0])
    assert is_constant(mean, variance, 10).tolist() == [True, False, True]


def test_scaling_without_an_arbiter_or_with_other_columns_is_refused(tmp_path, raw):
    with pytest.raises(RolesRefused, match="needs an arbiter"):
        alone(SCALE, {"data": raw[0]})
    narrow = make_table(tmp_path, "narrow", np.ones((3, 2)))
    parties = {GUEST: {"data": raw[0]}, HOST: {"data": narrow}, ARBITER: {}}
    with pytest.raises(FeaturesDiffer, match="host:hospital-b has 2"):
        run_local(SCALE, {}, parties, RecordingExchange())


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-12, 3.3e-7, 2.0**60, -123456.789, 1e15 / 3])
def test_limbs_keep_a_number(value):
    limbs = split_limbs("v", np.array([value]))
    assert all(abs(limb[0]) <= 2**31 for limb in limbs.values())
    assert join_limbs(limbs)[0] == pytest.approx(value, rel=1e-15, abs=2**-60)


def test_binary_metrics_are_those_of_scikit_learn(tmp_path):
    data = breast()
    weights = -np.ones(30)
    table = make_table(tmp_path, "test", data.x_test, data.y_test)
    result = alone(EVALUATE, {"model": linear(weights), "data": table})
    found = {metric.name: metric.value for metric in result.metrics}
    p = 1 / (1 + np.exp(-(data.x_test @ weights)))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(data.y_test, p))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(data.y_test, p))
    assert found["f1"] == pytest.approx(metrics.f1_score(data.y_test, p >= 0.5))
    positive, negative = p[data.y_test == 1], p[data.y_test == 0]
    ks = max(abs((positive >= t).mean() - (negative >= t).mean()) for t in p)
    assert found["ks"] == pytest.approx(ks)
    roc = result.outputs[GUEST]["roc"]
    assert (roc.kind, roc.schema) == ("roc", 1)
    assert roc.body["true_positive_rate"][0] == 0
    assert roc.body["true_positive_rate"][-1] == 1
    strict = alone(EVALUATE, {"model": linear(weights), "data": table}, {"threshold": 1.0}).series(GUEST, "recall")
    assert strict[0] < found["recall"]


def test_ks_is_the_largest_distance_in_either_direction():
    y, worst = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.8, 0.9, 0.1, 0.2])
    assert binary_metrics(y, worst, 0.5)["ks"] == binary_metrics(y, 1 - worst, 0.5)["ks"] == 1.0


def test_a_curve_of_many_points_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    points = roc_points((rng.random(5000) < 0.5).astype(float), rng.random(5000))
    assert len(points["thresholds"]) == 200
    assert (points["false_positive_rate"][0], points["false_positive_rate"][-1]) == (0, 1)
    assert np.isfinite(points["thresholds"]).all()


def test_one_class_alone_has_no_auc_and_no_curve(tmp_path):
    table = make_table(tmp_path, "ones", breast().x_test[:5], [1] * 5)
    result = alone(EVALUATE, {"model": linear(np.ones(30)), "data": table})
    assert "auc" not in {metric.name for metric in result.metrics}
    assert not result.outputs[GUEST]


def test_a_network_of_two_classes_is_judged_by_its_own_labels(tmp_path):
    spec = {"net": "mlp", "inputs": 1, "outputs": 2, "hidden": []}
    arrays = {"0.weight": np.array([[-1], [1]], np.float32), "0.bias": np.zeros(2, np.float32)}
    details = {"spec": spec, "features": ["x00"], "classes": [0, 5]}
    model = Model(kind="torch", schema=1, arrays=arrays, details=details)
    x = np.array([[-1.0], [2.0], [1.0], [3.0]])
    result = alone(EVALUATE, {"model": model, "data": make_table(tmp_path, "two", x, [0, 0, 5, 5])})
    assert result.series(GUEST, "auc") == [0.75]
    assert result.series(GUEST, "accuracy") == [0.75]
    with pytest.raises(BadLabels, match="holds 1"):
        alone(EVALUATE, {"model": model, "data": make_table(tmp_path, "odd", x, [0, 1, 5, 5])})


def test_many_classes_are_judged_too(tmp_path):
    spec = {"net": "mlp", "inputs": 2, "outputs": 3, "hidden": []}
    arrays = {"0.weight": np.array([[3, 0], [0, 3], [-3, -3]], np.float32), "0.bias": np.zeros(3, np.float32)}
    model = Model(
        kind="torch", schema=1, arrays=arrays, details={"spec": spec, "features": ["x00", "x01"], "classes": [2, 5, 7]}
    )
    x = np.array([[1, 0], [0, 1], [-1, -1], [1, 0]])
    table = make_table(tmp_path, "three", x.astype(float), [2, 5, 7, 5])
    result = alone(EVALUATE, {"model": model, "data": table})
    found = {metric.name: metric.value for metric in result.metrics}
    assert found["accuracy"] == 0.75
    logits = np.exp(x @ arrays["0.weight"].T)
    p = logits / logits.sum(axis=1, keepdims=True)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score([2, 5, 7, 5], p, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(-np.log(p[range(4), [0, 1, 2, 1]]).mean())
    predicted = alone(PREDICT, {"model": model, "data": table}).outputs[GUEST]["predictions"]
    assert predicted.column_names == ["id", "label", "probability_2", "probability_5", "probability_7", "predicted"]
    assert predicted.column("predicted").to_pylist() == [2, 5, 7, 2]
    with pytest.raises(BadLabels, match="holds 9"):
        alone(EVALUATE, {"model": model, "data": make_table(tmp_path, "nine", x.astype(float), [2, 5, 9, 5])})


def test_predictions_carry_ids_and_probabilities(tmp_path):
    table = make_table(tmp_path, "unlabelled", breast().x_test)
    made = alone(PREDICT, {"model": linear(np.ones(30)), "data": table}).outputs[GUEST]["predictions"]
    assert made.column_names == ["id", "probability", "predicted"]
    p = made.column("probability").to_numpy()
    np.testing.assert_array_equal(made.column("predicted").to_numpy(), p > 0.5)


@pytest.mark.parametrize("name", ["predicted", "probability"])
def test_no_prediction_takes_the_place_of_a_column_that_plays_a_role(tmp_path, name):
    rows = pa.table({"x": [1.0, 2.0], name: [7, 8]})
    store = TableStore(tmp_path)
    with store.writer("test/taken", rows.schema, TableRoles(id=name)) as writer:
        writer.write(rows)
    inputs = {"data": store.open("test/taken"), "model": linear(np.ones(1), ["x"])}
    with pytest.raises(ColumnNameTaken, match=f"column '{name}' that plays a role"):
        alone(PREDICT, inputs)


@pytest.mark.parametrize(
    "model",
    [
        Model(kind="scaler", schema=1, arrays={}, details={}),
        Model(kind="linear", schema=2, arrays={}, details={}),
        linear(np.ones(29)),
    ],
    ids=["another kind", "another schema", "too few weights"],
)
@pytest.mark.parametrize("made", [EVALUATE, PREDICT], ids=["evaluate", "predict"])
def test_a_model_that_cannot_judge_is_refused(tmp_path, model, made):
    table = make_table(tmp_path, "t", breast().x_test, breast().y_test)
    with pytest.raises(WrongModel):
        alone(made, {"model": model, "data": table})


@pytest.mark.parametrize("made", [EVALUATE, PREDICT], ids=["evaluate", "predict"])
def test_inputs_and_roles_that_are_missing_are_named(made, tmp_path):
    table = make_table(tmp_path, "t", breast().x_test, breast().y_test)
    with pytest.raises(MissingInput, match="guest:hospital-a has no model"):
        alone(made, {"data": table})
    with pytest.raises(MissingInput, match="has no rows"):
        alone(made, {"model": linear(np.ones(30)), "data": make_table(tmp_path, "e", np.zeros((0, 30)), [])})
    with pytest.raises(RolesRefused, match="Nobody takes part"):
        made.require(Terms(made.parameters(), {Role.GUEST: []}))
    with pytest.raises(RolesRefused, match="no role 'arbiter'"):
        made.require(Terms(made.parameters(), {Role.GUEST: ["a"], Role.ARBITER: ["b"]}))


def test_parties_with_other_settings_are_named(tmp_path, raw):
    made, exchange = component("scale"), RecordingExchange()

    def other(ctx, parameters):
        made.roles[ctx.address.role].run(ctx, made.parameters(**FIXED_POINT))

    odd = replace(made, roles={**made.roles, HOST.role: RoleSpec(other)})
    with pytest.raises(ParametersDiffer, match="host:hospital-b has other settings"):
        run_local(odd, {}, {GUEST: {"data": raw[0]}, HOST: {"data": raw[1]}, ARBITER: {}}, exchange)
