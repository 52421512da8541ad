"""Federated logistic regression on real data: as good as pooled, and the same encrypted as in the clear."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from algorithms.api.component import Terms
from algorithms.api.errors import (
    BadFeatures,
    FeaturesDiffer,
    FeaturesReordered,
    LabelsNotBinary,
    MissingInput,
    NotFinite,
    ParametersDiffer,
    RolesRefused,
    ValueOutgrewLayout,
    WrongModel,
)
from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.models.linear import probability
from algorithms.registry import component
from runtime.errors import public_sentence
from tests.fixtures.algorithms import (
    ARBITER,
    ENCRYPTED,
    FIXED_POINT,
    GUEST,
    HOST,
    HOST_C,
    RecordingExchange,
    breast,
    halves,
    make_table,
)

LR = component("homo_lr")


def same_orders() -> LocalSettings:
    """Memories in which the trainers' own seeds are drawn already, so that two runs shuffle alike."""
    memories = {address: LocalMemory() for address in (GUEST, HOST, HOST_C, ARBITER)}
    for address, memory in memories.items():
        memory.once("own-seed", lambda name=str(address): name.encode().ljust(32))
    return LocalSettings(memories=memories)


def train(tables, parameters=None, *, settings=None, exchange=None, **more):
    """Two (or three) trainers and an arbiter; `more` are further inputs by name, alike for all trainers."""
    trainers = dict(zip((GUEST, HOST, HOST_C), tables, strict=False))
    parties = {address: {"train": table, **more} for address, table in trainers.items()} | {ARBITER: {}}
    return run_local(LR, parameters or {}, parties, exchange or RecordingExchange(), settings or same_orders())


def flat(result, address=GUEST):
    arrays = result.model(address).arrays
    return np.concatenate([arrays["weights"], arrays["bias"]])


@pytest.fixture
def tables(tmp_path):
    return halves(tmp_path, breast())


@pytest.mark.parametrize("kind", ["plain", "paillier"])
def test_the_auc_on_held_out_rows_is_that_of_pooled_training(tables, kind):
    data = breast()
    pooled = LogisticRegression(max_iter=1000).fit(data.x, data.y)
    expected = roc_auc_score(data.y_test, pooled.predict_proba(data.x_test)[:, 1])
    model = train(tables, {"protection": {"kind": kind}}).model(HOST)
    found = roc_auc_score(data.y_test, probability(data.x_test, model.arrays["weights"], model.arrays["bias"]))
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_encrypted_equals_fixed_point_bit_for_bit_and_float_to_a_millionth(tmp_path, optimizer):
    tables = halves(tmp_path, breast(), parts=3)
    server = {"optimizer": optimizer, "learning_rate": 0.1 if optimizer == "adam" else 1.0}
    settings = {"server": server, "local": {"weight_decay": 1e-3}}
    plain = flat(train(tables, settings))
    fixed = flat(train(tables, settings | FIXED_POINT))
    encrypted = train(tables, settings | ENCRYPTED)
    for trainer in (GUEST, HOST, HOST_C):
        np.testing.assert_array_equal(flat(encrypted, trainer), fixed)
    np.testing.assert_allclose(fixed, plain, rtol=0, atol=1e-6)
    assert (fixed != plain).any()


def test_every_trainer_reports_the_same_metrics_of_each_round(tmp_path, tables):
    data = breast()
    validate = make_table(tmp_path, "validate", data.x_test, data.y_test)
    result = train(tables, {"rounds": 4}, validate=validate)
    for name in ("loss", "accuracy", "validate_loss", "validate_accuracy"):
        series = result.series(GUEST, name)
        assert len(series) == 5  # the start, and after each round
        assert series == result.series(HOST, name)
        assert not result.series(ARBITER, name)
    assert result.series(GUEST, "loss")[0] == pytest.approx(np.log(2))
    assert result.series(GUEST, "loss") == sorted(result.series(GUEST, "loss"), reverse=True)
    z = data.x @ flat(result)[:-1] + flat(result)[-1]
    assert result.series(GUEST, "loss")[-1] == pytest.approx(np.mean(np.logaddexp(0, z) - data.y * z))


def test_training_stops_early_when_the_loss_stands_still(tables):
    result = train(tables, {"rounds": 50, "tolerance": 0.02})
    assert 3 < len(result.series(HOST, "loss")) < 15
    np.testing.assert_array_equal(flat(result, GUEST), flat(result, HOST))


def test_training_goes_on_from_a_model_given(tables):
    first = train(tables, {"rounds": 10})
    second = train(tables, {"rounds": 1}, model=first.model(GUEST))
    assert second.series(GUEST, "loss")[0] == pytest.approx(first.series(GUEST, "loss")[-1])


def test_two_different_models_to_start_from_are_refused(tables):
    first, second = train(tables, {"rounds": 1}).model(GUEST), train(tables, {"rounds": 2}).model(GUEST)
    parties = {GUEST: {"train": tables[0], "model": first}, HOST: {"train": tables[1], "model": second}, ARBITER: {}}
    with pytest.raises(WrongModel, match="host:hospital-b"):
        run_local(LR, {}, parties, RecordingExchange())


def test_labels_minus_one_and_one_mean_the_same(tmp_path, tables):
    data, cut = breast(), tables[0].rows
    signed = [
        make_table(tmp_path, "s0", data.x[:cut], data.y[:cut] * 2 - 1),
        make_table(tmp_path, "s1", data.x[cut:], data.y[cut:] * 2.0 - 1.0),
    ]
    np.testing.assert_array_equal(flat(train(signed, {"rounds": 2})), flat(train(tables, {"rounds": 2})))


def test_predictions_are_written_as_the_labels_were(tmp_path, tables):
    data, cut = breast(), tables[0].rows
    first = make_table(tmp_path, "f", data.x[:cut], data.y[:cut] * 2 - 1)
    ones = make_table(tmp_path, "ones", data.x[cut:][data.y[cut:] == 1], data.y[cut:][data.y[cut:] == 1])
    trained, exchange = train([first, ones], {"rounds": 2}), RecordingExchange()
    models = [trained.model(address) for address in (GUEST, HOST)]
    assert [model.details["classes"] for model in models] == [[-1, 1], [-1, 1]]
    made = run_local(component("predict"), {}, {GUEST: {"model": models[0], "data": first}}, exchange)
    column = made.outputs[GUEST]["predictions"].column("predicted").to_numpy()
    assert set(column) == {-1, 1}
    assert (column == data.y[:cut] * 2 - 1).mean() > 0.9
    assert train(tables, {"rounds": 1}).model(GUEST).details["classes"] == [0, 1]


def test_trainers_that_write_labels_differently_are_refused(tmp_path, tables):
    signed = make_table(tmp_path, "signed", breast().x[:9], breast().y[:9] * 2 - 1)
    with pytest.raises(LabelsNotBinary, match=r"the trainers together \[-1, 0, 1\]"):
        train([tables[0], signed])


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, 1, 2, 0], "'test/bad@1': label column 'label' holds 2"),
     ([0, 1, -1, 0], "-1 and 0"), (None, "no label column"),
     (["a", "b", "a", "b"], "not a number"), ([0.0, 1.0, np.nan, 1.0], "row 3")],
)  # fmt: skip
def test_labels_that_are_not_binary_are_named_with_their_table(tmp_path, tables, labels, says):
    bad = make_table(tmp_path, "bad", breast().x[:4], labels)
    with pytest.raises(LabelsNotBinary, match=says) as caught:
        train([tables[0], bad])
    assert "0 and 1, or -1 and 1" in public_sentence(caught.value.code), "what the component learns from is no secret"


def test_a_feature_that_is_missing_or_not_finite_is_named(tmp_path, tables):
    x = breast().x[:4].copy()
    x[2, 5] = np.nan
    with pytest.raises(BadFeatures, match=r"'test/holes@1': column 'x05' is missing or not finite in row 3"):
        train([tables[0], make_table(tmp_path, "holes", x, [0, 1, 0, 1])])
    validate = make_table(tmp_path, "narrow", x[:, :5], [0, 1, 0, 1])
    with pytest.raises(BadFeatures, match=r"'test/narrow@1' has no feature column 'x05'"):
        train(tables, validate=validate)


def test_trainers_with_other_columns_are_named(tmp_path, tables):
    names = [f"x{i:02}" for i in range(29)] + ["other"]
    odd = make_table(tmp_path, "odd", breast().x[:9], breast().y[:9], names)
    says = r"host:hospital-b.*guest:hospital-a has 30, host:hospital-b has 30"
    with pytest.raises(FeaturesDiffer, match=says) as caught:
        train([tables[0], odd])
    assert caught.value.alike == (("hospital-a",), ("hospital-b",))


def test_trainers_with_the_same_columns_in_another_order_are_told_that_it_is_the_order(tmp_path, tables):
    x, y = breast().x[:9], breast().y[:9]
    turned = make_table(tmp_path, "turned", x, y, [f"x{i:02}" for i in reversed(range(30))])
    with pytest.raises(FeaturesReordered, match=r"host:hospital-b are those .* in another order") as caught:
        train([tables[0], turned])
    assert caught.value.alike == (("hospital-a",), ("hospital-b",))
    assert "same names in different orders" in public_sentence(caught.value.code)


def test_a_trainer_without_a_table_is_named(tables):
    with pytest.raises(MissingInput, match=r"host:hospital-b has no table for the input 'train'"):
        run_local(LR, {}, {GUEST: {"train": tables[0]}, HOST: {}, ARBITER: {}}, RecordingExchange())


@pytest.mark.parametrize("kind", ["paillier", "plain"])
def test_a_value_that_outgrows_its_layout_is_stopped_before_it_is_sent(tables, kind):
    exchange = RecordingExchange()
    narrow = {"local": {"learning_rate": 50.0}, "encoding": {"kind": "fixed_point", "value_range": 1.0}}
    with pytest.raises(ValueOutgrewLayout, match=r"weights\[\d+\] = .*value_range") as caught:
        train(tables, narrow | {"protection": {"kind": kind}}, exchange=exchange)
    assert "standardise" in caught.value.hint
    assert not [message for message in exchange.sent if message.tag == "update" and message.frm == GUEST]


@pytest.mark.parametrize("secure", [{}, ENCRYPTED])
def test_what_is_not_finite_is_stopped_before_it_is_sent(tables, secure):
    exchange = RecordingExchange()
    with pytest.raises((NotFinite, ValueOutgrewLayout), match=r"(weights|bias)\[\d+\]"):
        train(tables, secure | {"local": {"learning_rate": 1e200, "weight_decay": 1e200}}, exchange=exchange)
    assert not [message for message in exchange.sent if message.tag == "update"]


PARTIES = {"guest": ["a"], "host": ["b"], "arbiter": ["c"]}


@pytest.mark.parametrize(
    ("roles", "says"),
    [(PARTIES | {"host": ["a", "b"]}, "'a' is guest and host"),
     (PARTIES | {"arbiter": ["b"]}, "'b' is arbiter and trainer"), (PARTIES | {"arbiter": []}, "at least 1 arbiter"),
     (PARTIES | {"arbiter": ["c", "d"]}, "at most 1 arbiter"), ({"arbiter": ["c"]}, "no trainer")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["homo_lr", "homo_nn"])
def test_roles_that_do_not_suit_are_refused(roles, says, name):
    made = component(name)
    with pytest.raises(RolesRefused, match=says):
        made.require(Terms(made.parameters(**ENCRYPTED), roles))


def test_in_the_clear_an_arbiter_may_train_too():
    LR.require(Terms(LR.parameters(), PARTIES | {"arbiter": ["b"]}))
    LR.require(Terms(LR.parameters(**ENCRYPTED), PARTIES))
    LR.require(Terms(LR.parameters(), {"host": ["b"], "arbiter": ["c"]}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": 0},
        {"epochs": 3},
        {"local": {"learning_rate": -1}},
        {"local": {"l2": 1}},
        {"protection": {"kind": "rot13"}},
        {"protection": {"key_bits": 1024}},
        {"server": {"momentum": 1}},
        {"protection": {"key_holders": ["nobody"]}},
        {"protection": {"keygen": "subgroup"}},
        {"encoding": {"packing": "compact"}},
        {"encoding": {"kind": "floats", "value_range": 8}},
        {"encoding": {"kind": "floats"}, "protection": {"kind": "paillier"}},
        {"server": {"momentum": 0.5}},
        {"preset": "fedadam", "server": {"optimizer": "sgd"}},
        {"preset": "fedmagic"},
    ],
)
def test_parameters_out_of_range_or_unknown_are_refused(wrong):
    name, value = next(reversed(wrong.items()))
    with pytest.raises(ValueError, match=next(iter(value)) if isinstance(value, dict) else name):
        LR.parameters.model_validate(wrong)


def test_trainers_that_do_not_stop_together_are_refused(tables):
    exchange = RecordingExchange()
    exchange.wire(HOST).send(ARBITER, "stop", (0,), True)  # the first write of a key wins
    with pytest.raises(ParametersDiffer, match="do not say alike whether round 0"):
        train(tables, {"rounds": 2, "tolerance": 1e-9}, exchange=exchange)
