"""The server's optimiser, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.federated.server import Server
from algorithms.registry import component

MODEL = {"w": np.array([1.0, -1.0])}


UPDATE = {"w": np.array([0.5, 0.0])}


def test_sgd_adds_the_update():
    optimizer = Server(learning_rate=2.0)
    model, state = optimizer.step(MODEL, UPDATE, optimizer.start(MODEL))
    np.testing.assert_array_equal(model["w"], [2.0, -1.0])
    assert state == {}


def test_momentum_keeps_going():
    optimizer = Server(optimizer="momentum", learning_rate=1.0, momentum=0.5)
    model, state = optimizer.step(MODEL, UPDATE, optimizer.start(MODEL))
    model, _ = optimizer.step(model, UPDATE, state)
    np.testing.assert_allclose(model["w"], [1 + 0.5 + 0.75, -1.0])


def test_adam_is_that_of_the_paper():
    optimizer = Server(optimizer="adam", learning_rate=0.1)
    model, state = optimizer.step(MODEL, UPDATE, optimizer.start(MODEL))
    m, v = 0.1 * 0.5, 0.99 * 1e-6 + 0.01 * 0.25  # v starts at tau^2
    assert model["w"][0] == pytest.approx(1 + 0.1 * m / (np.sqrt(v) + 1e-3))
    assert set(state) == {"m.w", "v.w"}


@pytest.mark.parametrize("name", ["homo_lr", "homo_nn"])
def test_the_rate_left_out_is_that_of_its_optimiser(name):
    made = component(name).parameters
    rates = {
        how: made.model_validate({"server": {"optimizer": how}}).server.rate for how in ("sgd", "momentum", "adam")
    }
    assert rates == {"sgd": 1.0, "momentum": 1.0, "adam": 0.1}
    assert made.model_validate({"server": {"optimizer": "adam", "learning_rate": 0.5}}).server.rate == 0.5
    assert made.model_validate(made.written_out({"preset": "fedadam"})) == made.model_validate(
        {"preset": "fedadam", "server": {"optimizer": "adam"}}
    )
