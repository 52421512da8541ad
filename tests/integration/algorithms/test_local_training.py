"""What a learner makes of the common model."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.federated import trainer
from algorithms.local_run import run_local
from algorithms.registry import component
from tests.fixtures.algorithms import ARBITER, GUEST, HOST, RecordingExchange, make_table


@pytest.mark.parametrize("name", ["homo_lr", "homo_nn"])
def test_a_learner_moves_all_weights_and_leaves_the_common_model_as_it_is(tmp_path, monkeypatch, name):
    told = []
    change = trainer._change

    def seen(trained, common):
        told.append(all(not np.array_equal(array, common[key]) for key, array in trained.items()))
        return change(trained, common)

    monkeypatch.setattr(trainer, "_change", seen)
    x = np.random.default_rng(3).normal(size=(25, 4))
    table = make_table(tmp_path, "rows", x, (x[:, 0] > 0).astype(int))
    parties = {GUEST: {"train": table}, HOST: {"train": table}, ARBITER: {}}
    parameters = {"rounds": 1, "local": {"epochs": 3, "batch_size": 10}}
    run_local(component(name), parameters, parties, RecordingExchange())
    assert told == [True, True]
