"""A federated convolutional network on the digits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from algorithms.api.errors import BadLabels, LabelsNotClasses, WrongModel
from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.models.inference import predict
from algorithms.nets import networks
from algorithms.nets.optimizers import Adam, Sgd
from algorithms.nets.spec import NetSpec
from algorithms.registry import component
from storage.client import decode
from tests.fixtures.algorithms import (
    ARBITER,
    ENCRYPTED,
    FIXED_POINT,
    GUEST,
    HOST,
    RecordingExchange,
    digits,
    halves,
    make_table,
)

NN = component("homo_nn")
SHAPE = {"name": "cnn", "input_shape": [1, 8, 8]}
NET = SHAPE | {"channels": [2, 3], "hidden": [8]}
SMALL = {"net": NET, "rounds": 2}


def train(tables, parameters, exchange=None, **more):
    memories = {address: LocalMemory() for address in (GUEST, HOST, ARBITER)}
    for address, memory in memories.items():
        memory.once("own-seed", lambda name=str(address): name.encode().ljust(32))
    parties = {a: {"train": t, **more} for a, t in zip((GUEST, HOST), tables, strict=True)} | {ARBITER: {}}
    return run_local(NN, parameters, parties, exchange or RecordingExchange(), LocalSettings(memories=memories))


@pytest.fixture
def tables(tmp_path):
    return halves(tmp_path, digits())


def test_the_cnn_reads_the_digits(tmp_path, tables):
    data = digits()
    test = make_table(tmp_path, "test", data.x_test, data.y_test)
    result = train(tables, {"net": SHAPE, "rounds": 12}, validate=test)
    model = result.model(HOST)
    assert sum(array.size for array in model.arrays.values()) == 13_706
    assert (predict(model, test).predicted == data.y_test).mean() >= 0.95
    assert result.series(GUEST, "validate_accuracy")[-1] >= 0.95


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_mlp_learns_too_and_the_same_twice(tables, optimizer):
    parameters = {
        "rounds": 2,
        "local": {"optimizer": optimizer, "learning_rate": 0.05 if optimizer == "sgd" else 0.003},
    }
    first, second = train(tables, parameters), train(tables, parameters)
    assert first.series(GUEST, "accuracy")[-1] > 0.8
    for name, array in first.model(GUEST).arrays.items():
        np.testing.assert_array_equal(array, second.model(HOST).arrays[name])


def test_encrypted_equals_fixed_point_bit_for_bit(tables):
    fixed, encrypted = (train(tables, SMALL | how) for how in (FIXED_POINT, ENCRYPTED))
    for name, array in fixed.model(GUEST).arrays.items():
        np.testing.assert_array_equal(array, encrypted.model(HOST).arrays[name])


def test_a_network_is_in_single_precision_from_its_updates_to_its_model(tables):
    exchange, parameters = RecordingExchange(), SMALL | {"server": {"optimizer": "adam"}}
    single, fixed = (
        train(tables, parameters, exchange),
        train(tables, parameters | FIXED_POINT),
    )
    weights = [s for s in exchange.sent if s.tag in ("update", "sum") and s.step[0] < parameters["rounds"]]
    assert {decode(s.body).dtype for s in weights} == {np.dtype(np.float32)}
    for name, array in single.model(GUEST).arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, fixed.model(GUEST).arrays[name], atol=2e-5)


def test_a_network_with_norm_layers_starts_alive_and_trains(tables, monkeypatch):
    def normed(spec):
        return nn.Sequential(
            nn.Linear(spec.inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, spec.outputs)
        )

    monkeypatch.setitem(networks.NETS, "mlp", normed)
    result = train(tables, {"rounds": 4, "local": {"epochs": 4}})
    arrays = result.model(GUEST).arrays
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert "1.running_mean" in arrays
    assert "1.num_batches_tracked" not in arrays
    assert result.series(GUEST, "accuracy")[-1] > 0.8


def test_a_party_may_lack_a_class(tmp_path):
    data = digits()
    kept = data.y[:300] != 9
    few = make_table(tmp_path, "few", data.x[:300][kept], data.y[:300][kept])
    all_classes = make_table(tmp_path, "all", data.x[300:600], data.y[300:600])
    assert train([few, all_classes], SMALL).model(GUEST).details["classes"] == list(range(10))


def test_training_goes_on_from_a_model_given(tables):
    first = train(tables, SMALL)
    second = train(tables, SMALL, model=first.model(GUEST))
    assert second.series(GUEST, "loss")[0] == pytest.approx(first.series(GUEST, "loss")[-1], rel=1e-5)
    with pytest.raises(WrongModel, match="start from"):
        train(tables, SMALL | {"net": NET | {"hidden": [9]}}, model=first.model(GUEST))


@pytest.mark.parametrize(
    ("shape", "says"),
    [([1, 8, 9], "64 columns"), ([32, 2, 1], "4 by 4")],
)  # fmt: skip
def test_shapes_that_do_not_go_together_are_refused(tables, shape, says):
    with pytest.raises(WrongModel, match=says):
        train(tables, {"net": SHAPE | {"input_shape": shape}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "cnn"},
        {"hidden": [8, 0]},
        {"hidden": [-1]},
        SHAPE | {"channels": [2, 0]},
        SHAPE | {"input_shape": [1, 0, 8]},
        {"channels": [2, 3]},
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_parameters(wrong):
    with pytest.raises(ValueError, match=r"input_shape|hidden|channels"):
        NN.parameters.model_validate({"net": wrong})


@pytest.mark.parametrize(("rows", "distinct", "most"), [(9, 5, 4), (3000, 1001, 1000), (3, 3, 2)])
def test_a_label_column_that_may_tell_of_rows_is_not_sent(tmp_path, tables, rows, distinct, most):
    exchange = RecordingExchange()
    many = make_table(tmp_path, "many", np.zeros((rows, 64)), np.arange(rows) % distinct)
    with pytest.raises(BadLabels, match=rf"'test/many@1': label column 'label' has {distinct} .* at most {most}"):
        run_local(NN, {}, {GUEST: {"train": tables[0]}, HOST: {"train": many}, ARBITER: {}}, exchange)
    assert not [message for message in exchange.sent if message.frm == HOST]


def test_labels_that_are_no_classes_are_refused(tmp_path, tables):
    data = digits()
    with pytest.raises(LabelsNotClasses, match=r"'test/fractions@1': label column 'label' holds 0.5"):
        train([tables[0], make_table(tmp_path, "fractions", data.x[:4], [0, 1, 0.5, 1])], SMALL)
    with pytest.raises(BadLabels, match=r"label column 'label' holds 77"):
        train(tables, SMALL, validate=make_table(tmp_path, "strange", data.x[:4], [0, 1, 77, 1]))
    with pytest.raises(BadLabels, match="nothing to tell apart"):
        train([make_table(tmp_path, f"one{i}", data.x[:4], [1, 1, 1, 1]) for i in range(2)], SMALL)


def test_the_start_depends_on_the_common_seed_alone():
    spec = NetSpec(net="mlp", inputs=4, outputs=2)
    first, second, other = (networks.start(networks.build(spec), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["0.weight"], second["0.weight"])
    assert (first["0.weight"] != other["0.weight"]).any()
    assert not first["0.bias"].any()


def test_weights_of_another_network_are_refused():
    net = networks.build(NetSpec(net="mlp", inputs=4, outputs=2))
    with pytest.raises(WrongModel):
        networks.load(net, {"0.weight": np.zeros((1, 1))})


MADE_BY_TORCH = {  # torch.optim of torch 2.13: five steps of rate 0.1 on sum(w^4) from linspace(-1, 1, 4)
    ("sgd", 0.0): [0.8381381349457613, -0.1836582761321006, 0.1836582761321006, -0.8381381349457613],
    ("sgd", 0.1): [0.853918390895879, -0.1523106241827322, 0.1523106241827322, -0.853918390895879],
    ("adam", 0.0): [-0.5339223782579703, 0.03734825988937009, -0.03734825988937009, 0.5339223782579703],
    ("adam", 0.1): [-0.5329412587625216, 0.05563063325032432, -0.05563063325032432, 0.5329412587625216],
}


@pytest.mark.parametrize(("kind", "decay"), MADE_BY_TORCH)
def test_our_optimisers_are_those_of_torch(kind, decay):
    weights = torch.linspace(-1, 1, 4, dtype=torch.float64).requires_grad_()
    optimizer = Sgd([weights], 0.1, 0.9, decay) if kind == "sgd" else Adam([weights], 0.1, decay)
    for _ in range(5):
        (weights**4).sum().backward()
        optimizer.step()
    assert weights.tolist() == pytest.approx(MADE_BY_TORCH[kind, decay], rel=1e-12)


def test_training_does_not_import_the_compiler_of_torch():
    """It takes seconds in every fresh executor."""
    code = (
        "import sys, numpy as np\n"
        "from algorithms.nets import networks, training\n"
        "from algorithms.nets.optimizers import Adam\n"
        "from algorithms.nets.spec import NetSpec\n"
        "net = networks.build(NetSpec(net='mlp', inputs=4, outputs=2))\n"
        "rows = training.Rows(np.ones((8, 4), np.float32), np.arange(8) % 2)\n"
        "training.trained(net, networks.start(net, 1), rows, Adam(net.parameters(), 0.1, 0.0), [np.arange(8)])\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
