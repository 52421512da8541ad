"""Whoever is killed, wherever: the run goes on from its checkpoints and ends with the same model, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.registry import component
from tests.fixtures.algorithms import (
    ARBITER,
    ENCRYPTED,
    GUEST,
    HOST,
    Killed,
    RecordingExchange,
    Split,
    breast,
    digits,
    halves,
)

ADDRESSES = (GUEST, HOST, ARBITER)
LR: dict[str, Any] = {"rounds": 4, "server": {"optimizer": "momentum"}}
CNN: dict[str, Any] = {
    "rounds": 2,
    "net": {"name": "cnn", "input_shape": [1, 8, 8], "channels": [2, 3], "hidden": [8]},
}


def fresh() -> dict[Any, LocalMemory]:
    memories = {address: LocalMemory() for address in ADDRESSES}
    for address, memory in memories.items():
        memory.once("own-seed", lambda name=str(address): name.encode().ljust(32))
    return memories


class StoredExchange(RecordingExchange):
    """An exchange whose messages outlive a run: closing it wakes the waiting, reopening keeps what was sent."""

    def reopen(self) -> None:
        self.inner._closed = None
        self.fail_at = None


def run(name, parameters, tables, exchange, memories):
    parties = {GUEST: {"train": tables[0]}, HOST: {"train": tables[1]}, ARBITER: {}}
    return run_local(component(name), parameters, parties, exchange, LocalSettings(memories=memories))


def assert_resumes(name, parameters, tables, fail_at):
    whole = run(name, parameters, tables, RecordingExchange(), fresh())
    exchange, memories = StoredExchange(), fresh()
    exchange.fail_at = fail_at
    with pytest.raises(Killed):
        run(name, parameters, tables, exchange, memories)
    exchange.reopen()
    again = run(name, parameters, tables, exchange, memories)
    for trainer in (GUEST, HOST):
        for array, expected in zip(
            again.model(trainer).arrays.values(), whole.model(trainer).arrays.values(), strict=True
        ):
            np.testing.assert_array_equal(array, expected)
    final = parameters["rounds"]
    assert again.series(GUEST, "loss")[-1] == whole.series(GUEST, "loss")[final]
    return exchange


def tables_of(folder, data: Split):
    return halves(folder, data)


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
@pytest.mark.parametrize("step", [0, 2, 3])
def test_a_killed_lr_goes_on_bit_for_bit(tmp_path, address, step):
    tag = "sum" if address is ARBITER else "update"
    assert_resumes("homo_lr", LR, tables_of(tmp_path, breast()), (tag, step, address))


@pytest.mark.parametrize(
    "fail_at",
    [
        ("private-key", 0, GUEST),
        ("update", 1, GUEST),
        ("tag-key", 0, GUEST),
        ("sum", 2, ARBITER),
        ("start", 0, ARBITER),
    ],
    ids=lambda at: f"{at[2]} at {at[0]} {at[1]}",
)
def test_a_killed_encrypted_lr_goes_on_under_the_same_key(tmp_path, fail_at):
    exchange = assert_resumes("homo_lr", LR | ENCRYPTED, tables_of(tmp_path, breast()), fail_at)
    assert len({message.body for message in exchange.sent if message.tag == "public-key"}) == 1


@pytest.mark.parametrize("fail_at", [("update", 1, HOST), ("sum", 2, ARBITER)], ids=["trainer", "arbiter"])
def test_a_killed_cnn_goes_on_bit_for_bit(tmp_path, fail_at):
    assert_resumes("homo_nn", CNN, tables_of(tmp_path, digits()), fail_at)


def test_a_stopped_run_that_is_started_again_does_not_train_further(tmp_path):
    tables, memories = tables_of(tmp_path, breast()), fresh()
    exchange = StoredExchange()
    parameters = {"rounds": 50, "tolerance": 0.02}
    first = run("homo_lr", parameters, tables, exchange, memories)
    exchange.reopen()
    second = run("homo_lr", parameters, tables, exchange, memories)
    np.testing.assert_array_equal(second.model(GUEST).arrays["weights"], first.model(GUEST).arrays["weights"])


def test_a_long_run_holds_no_more_messages_than_a_short_one(tmp_path):
    tables, held = tables_of(tmp_path, breast()), []
    for rounds in (4, 12):
        exchange = RecordingExchange()
        run("homo_lr", LR | {"rounds": rounds}, tables, exchange, fresh())
        held.append(sum(body is not None for body in exchange.inner._messages.values()))
    assert held[0] == held[1]


def test_progress_begins_where_the_checkpoint_is(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        "algorithms.local_run._LocalRun.progress", lambda self, done, total, what: told.append((self.address, done))
    )
    tables, exchange, memories = tables_of(tmp_path, breast()), StoredExchange(), fresh()
    exchange.fail_at = ("update", 2, GUEST)
    with pytest.raises(Killed):
        run("homo_lr", LR, tables, exchange, memories)
    saved = {address: memories[address].latest()[0] for address in (GUEST, ARBITER)}
    exchange.reopen()
    told.clear()
    run("homo_lr", LR, tables, exchange, memories)
    for address, step in saved.items():
        assert step >= 1
        assert min(done for told_by, done in told if told_by == address) == step
