"""Encrypted sums over an exchange: parts, shares, key holders, and going on with a wider layout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from algorithms.aggregate import aggregation
from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.component import Terms, by_role
from algorithms.api.errors import (
    CheckpointPastEnd,
    NotFinite,
    ParametersDiffer,
    RolesRefused,
    SumNotWhole,
    ValueOutgrewLayout,
    WrongSum,
)
from algorithms.crypto.vectors import VectorPaillier
from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.models.inference import predict
from algorithms.protection import paillier, plain
from algorithms.registry import component
from gateway.errors import ExchangeClosed
from storage.client import decode
from tests.fixtures.algorithms import (
    ARBITER,
    GUEST,
    HOST,
    HOST_C,
    RecordingExchange,
    breast,
    context,
    digits,
    halves,
    make_table,
)

TRAINERS = (GUEST, HOST, HOST_C)
PAILLIER: dict[str, Any] = {"kind": "paillier", "keygen": "subgroup"}
FIXED: dict[str, Any] = {"kind": "fixed_point"}
SECURE: dict[str, Any] = {"protection": PAILLIER}


def contexts(exchange):
    return {address: context(address, exchange, addresses=(*TRAINERS, ARBITER)) for address in (*TRAINERS, ARBITER)}


def sums(parameters, vectors, exchange, rounds=1, weight=0.25):
    """What each trainer gets, round after round."""
    everybody = contexts(exchange)

    def add():
        adder = Adder(everybody[ARBITER], parameters)
        for step in range(rounds):
            adder.add(step)

    def contribute(address):
        contributor = Contributor(everybody[address], parameters, rounds)
        return [contributor.sum(step, vectors[address], weight).vectors for step in range(rounds)]

    def guarded(work, *args):
        try:
            return work(*args)
        except BaseException as error:
            exchange.close(error)
            raise

    with ThreadPoolExecutor(4) as pool:
        adding = pool.submit(guarded, add)
        found = dict(zip(TRAINERS, pool.map(lambda a: guarded(contribute, a), TRAINERS), strict=True))
        adding.result()
    return found


def vectors_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return {a: {"w": rng.normal(size=(count - 1, 1)), "b": rng.normal(size=1)} for a in TRAINERS}


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(paillier, "PART_CIPHERTEXTS", 4)
    monkeypatch.setattr(paillier, "SHARED_FROM", 3)


@pytest.mark.parametrize("holders", [None, ("hospital-b",), ("hospital-a", "hospital-c")], ids=["all", "one", "two"])
@pytest.mark.parametrize("count", [5, 58 * 4 - 7, 58 * 4 - 6, 58 * 4 - 1, 58 * 4, 58 * 8, 58 * 9 + 3])
def test_sums_of_any_length_and_holders_equal_the_fixed_point_sums(small_parts, count, holders):
    vectors = vectors_of(count)
    secure = AggregationParameters(protection=PAILLIER | {"key_holders": holders})
    encrypted = sums(secure, vectors, exchange := RecordingExchange())
    fixed = sums(AggregationParameters(encoding=FIXED), vectors, RecordingExchange())
    for address in TRAINERS:
        for name, array in fixed[GUEST][0].items():
            np.testing.assert_array_equal(encrypted[address][0][name], array)
            np.testing.assert_allclose(array, sum(0.25 * v[name] for v in vectors.values()), atol=1e-8)
    told = {(s.frm, s.to) for s in exchange.sent if s.tag == "private-key"}
    able = [a for a in TRAINERS if holders is None or a.party in holders]
    assert told == {(able[0], other) for other in able[1:]}
    assert {s.to for s in exchange.sent if s.tag == "sum"} == set(able)


@pytest.mark.parametrize("how", [{}, {"encoding": FIXED}], ids=["floats", "fixed point"])
@pytest.mark.parametrize("count", [2, 9, 10, 20, 23])
def test_sums_in_the_clear_go_in_parts_and_do_not_depend_on_them(monkeypatch, count, how):
    parameters, vectors = AggregationParameters(**how), vectors_of(count)
    whole = sums(parameters, vectors, RecordingExchange())
    monkeypatch.setattr(plain, "PART_NUMBERS", 10)
    parts = sums(parameters, vectors, exchange := RecordingExchange())
    for address in TRAINERS:
        for name, array in whole[address][0].items():
            np.testing.assert_array_equal(parts[address][0][name], array)
    sent = [s.step for s in exchange.sent if s.tag == "update" and s.frm == GUEST]
    assert sent == [(0, part) for part in range(count // 10 + 1)]


@pytest.mark.parametrize("how", [{}, {"encoding": FIXED}, SECURE], ids=["floats", "fixed point", "paillier"])
def test_single_precision_comes_back_in_single_precision(how):
    vectors = {a: {n: v.astype(np.float32) for n, v in named.items()} for a, named in vectors_of(100).items()}
    found = sums(AggregationParameters(**how), vectors, exchange := RecordingExchange())
    for name in ("w", "b"):
        exact = sum(0.25 * vector[name].astype(np.float64) for vector in vectors.values())
        for address in TRAINERS:
            assert found[address][0][name].dtype == np.float32
            np.testing.assert_allclose(found[address][0][name], exact, rtol=1e-6, atol=1e-7)
    if not how:
        assert {decode(s.body).dtype for s in exchange.sent} == {np.dtype(np.float32)}


@pytest.mark.parametrize("how", [{"encoding": FIXED}, SECURE], ids=["fixed point", "paillier"])
def test_single_precision_is_weighted_before_it_is_rounded(how):
    number, weight = np.float32(15.123456), 1 / 3
    vectors = {a: {"w": np.array([number if a == GUEST else -number])} for a in TRAINERS}
    found = sums(AggregationParameters(**how), vectors, RecordingExchange(), weight=weight)
    assert found[GUEST][0]["w"][0] == np.float32(-np.rint(number.astype(np.float64) * weight * 2**28) / 2**28)


def test_double_and_single_precision_are_not_added():
    vectors = vectors_of(10)
    vectors[HOST_C] = {name: array.astype(np.float32) for name, array in vectors[HOST_C].items()}
    with pytest.raises(ExchangeClosed, match=f"{HOST_C} sent float32 numbers .* float64 were expected"):
        sums(AggregationParameters(), vectors, RecordingExchange())


def test_nothing_of_a_vector_is_sent_that_is_not_finite_somewhere(monkeypatch):
    monkeypatch.setattr(plain, "PART_NUMBERS", 10)
    vectors = vectors_of(30)
    vectors[GUEST]["b"][0] = np.inf
    exchange = RecordingExchange()
    with pytest.raises(NotFinite, match=r"b\[0\]"):
        sums(AggregationParameters(), vectors, exchange)
    assert not [s for s in exchange.sent if s.frm == GUEST]


def test_each_holder_decrypts_its_share_and_passes_it_on(small_parts):
    sums(AggregationParameters(**SECURE), vectors_of(58 * 4 - 1), exchange := RecordingExchange())
    shares = [s for s in exchange.sent if s.tag == "share"]
    assert sorted({(s.frm, s.to) for s in shares}) == sorted((a, b) for a in TRAINERS for b in TRAINERS if a != b)
    cut = {s.to: len(decode(s.body).data) for s in exchange.sent if s.tag == "sum" and s.step == (0, 0)}
    assert sorted(cut.values()) == [1, 1, 2]


def test_trainers_without_the_key_make_masks_while_they_wait_too(monkeypatch):
    waited, preparing = set(), VectorPaillier.preparing
    monkeypatch.setattr(
        VectorPaillier, "preparing", lambda engine, count: waited.add(engine._is_owner) or preparing(engine, count)
    )
    sums(
        AggregationParameters(protection=PAILLIER | {"key_holders": ("hospital-b",)}),
        vectors_of(20),
        RecordingExchange(),
        rounds=2,
    )
    assert waited == {True, False}


@pytest.mark.parametrize("packing", ["exact", "compact"])
@pytest.mark.parametrize("widest", [1.5, 2.0, 16.0, 1000.0])
def test_an_exchange_of_made_up_numbers_takes_no_right_sum_for_a_wrong_one(packing, widest):
    parameters = {"values": 1000, "rounds": 6, "encoding": FIXED | {"packing": packing, "value_range": widest}}
    run_local(component("exchange"), parameters, {a: {} for a in (*TRAINERS, ARBITER)}, RecordingExchange())


def test_a_small_sum_costs_no_further_message():
    sums(AggregationParameters(**SECURE), vectors_of(20), exchange := RecordingExchange(), rounds=2)
    assert not [s for s in exchange.sent if s.tag == "share"]


def test_a_long_sum_shows_how_far_it_is(monkeypatch):
    monkeypatch.setattr(paillier, "PART_CIPHERTEXTS", 1)
    told = []
    monkeypatch.setattr(
        "algorithms.local_run._LocalRun.progress", lambda _run, done, total, what: told.append((done, what))
    )
    parameters = {"values": 58 * 5, "rounds": 1, **SECURE}
    run_local(component("exchange"), parameters, {a: {} for a in (*TRAINERS, ARBITER)}, RecordingExchange())
    assert [done for done, what in told if what.startswith("parts of sum 0")].count(12) == 3


@pytest.mark.parametrize(("widest", "largest"), [(2.0**40, 200.0), (2.0**33, 1.9), (2.0**20, 1e-4), (16.0, 1e-12)])
@pytest.mark.parametrize("how", [{"encoding": FIXED}, SECURE], ids=["fixed point", "paillier"])
def test_a_compact_sum_follows_its_vectors_however_wide_a_range_the_job_allows(how, widest, largest):
    rng = np.random.default_rng(4)
    pulls = dict(zip(TRAINERS, (1.0, 0.4, -0.4), strict=True))
    vectors = {a: {"w": pull * largest * np.append(rng.uniform(-1, 1, 99), 1.0)} for a, pull in pulls.items()}
    compact = AggregationParameters(**{**how, "encoding": FIXED | {"packing": "compact", "value_range": widest}})
    found = sums(compact, vectors, RecordingExchange())[HOST][0]["w"]
    expected = 0.25 * sum(vector["w"] for vector in vectors.values())
    assert np.abs(found - expected).max() <= 3 * 0.5 * largest * 2.0**-15


def test_compact_rounds_end_where_plain_ones_do(small_parts):
    vectors = vectors_of(300)
    compact = AggregationParameters(**SECURE, encoding={"packing": "compact"})
    found = sums(compact, vectors, RecordingExchange(), rounds=6)
    in_the_clear = sums(AggregationParameters(), vectors, RecordingExchange(), rounds=6)
    total, expected = (sum(turn["w"] for turn in result[HOST]) for result in (found, in_the_clear))
    assert np.abs(total - expected).max() < 3 * 4 * np.abs(expected).max() / 2**15
    for address in TRAINERS:
        np.testing.assert_array_equal(found[address][5]["w"], found[GUEST][5]["w"])


@pytest.mark.parametrize(
    ("holders", "says"),
    [(("coordinator",), "no trainer"), ((), "nobody"), (("hospital-a", "hospital-a"), "twice")],
)
def test_holders_that_cannot_be_are_refused(holders, says):
    parameters = AggregationParameters(protection=PAILLIER | {"key_holders": holders})
    with pytest.raises(RolesRefused, match=says):
        aggregation.check(Terms(parameters, by_role([*TRAINERS, ARBITER])))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros((1, 255), np.uint8), ParametersDiffer),
        (np.zeros((1, 256)), ParametersDiffer),
        (np.full((1, 256), 255, np.uint8), SumNotWhole),
    ],
    ids=["a byte short", "floats", "beyond the layout"],
)
def test_a_share_that_is_none_is_refused(small_parts, value, error):
    exchange = RecordingExchange()
    exchange.wire(HOST).send(GUEST, "share", (0, 0), value)  # the first write of a key wins
    exchange.wire(HOST_C).send(GUEST, "share", (0, 0), np.zeros((2, 256), np.uint8))
    with pytest.raises(error):
        sums(AggregationParameters(**SECURE), vectors_of(58 * 4 - 1), exchange)


GROWING = {
    "rounds": 8,
    "local": {"learning_rate": 5.0, "weight_decay": 0.5, "batch_size": 10_000},
}  # each update 1.5 times the last


def test_a_task_goes_on_from_its_checkpoint_with_a_wider_layout(tmp_path):
    tables = halves(tmp_path, breast(), 3)
    parties = {a: {"train": t} for a, t in zip(TRAINERS, tables, strict=True)} | {ARBITER: {}}
    memories = {address: LocalMemory() for address in parties}

    def run(memories, value_range, **how):
        parameters = GROWING | how | {"encoding": FIXED | {"value_range": value_range}}
        return run_local(
            component("homo_lr"), parameters, parties, RecordingExchange(), LocalSettings(memories=memories)
        )

    with pytest.raises(ValueOutgrewLayout, match=r"weights\[\d+\]"):
        run(memories, 8.0, **SECURE)
    common = max(set.intersection(*(set(memory.steps()) for memory in memories.values())))
    assert common >= 1
    wider = run({a: memory.going_on(common) for a, memory in memories.items()}, 1024.0, **SECURE)
    assert min(m.step for m in wider.metrics) == common
    plain = run({}, 1024.0)
    for name, array in plain.model(GUEST).arrays.items():
        np.testing.assert_allclose(wider.model(HOST).arrays[name], array, rtol=0, atol=1e-5)


def test_a_checkpoint_of_another_optimizer_is_refused_and_another_packing_is_not(tmp_path):
    tables = halves(tmp_path, breast(), 3)
    parties = {a: {"train": t} for a, t in zip(TRAINERS, tables, strict=True)} | {ARBITER: {}}
    memories = {address: LocalMemory() for address in parties}

    def run(**how):
        going_on = {a: memory.going_on(2) if memory.steps() else memory for a, memory in memories.items()}
        return run_local(
            component("homo_lr"), {"rounds": 3} | how, parties, RecordingExchange(), LocalSettings(memories=going_on)
        )

    run_local(component("homo_lr"), {"rounds": 3}, parties, RecordingExchange(), LocalSettings(memories=memories))
    assert run(**SECURE, encoding={"packing": "compact"}).model(GUEST).arrays["weights"].any()
    with pytest.raises(ParametersDiffer, match="optimizer"):
        run(server={"optimizer": "adam"})


@pytest.mark.parametrize("how", [{}, SECURE], ids=["plain", "encrypted"])
def test_a_checkpoint_past_the_last_round_is_refused_before_anything_is_said_and_one_of_it_is_not(tmp_path, how):
    tables = halves(tmp_path, breast(), 3)
    parties = {a: {"train": t} for a, t in zip(TRAINERS, tables, strict=True)} | {ARBITER: {}}
    memories = {address: LocalMemory() for address in parties}
    run_local(component("homo_lr"), {"rounds": 5} | how, parties, RecordingExchange(), LocalSettings(memories=memories))

    def again(address, rounds, exchange):
        settings = LocalSettings(memories={a: memory.going_on(5) for a, memory in memories.items() if a == address})
        return run_local(component("homo_lr"), {"rounds": rounds} | how, parties, exchange, settings)

    for address in parties:
        exchange = RecordingExchange()
        with pytest.raises(CheckpointPastEnd, match=r"is of round 5, `rounds` is 4"):
            again(address, 4, exchange)
        assert not [sent for sent in exchange.sent if sent.frm == address]
    going_on = LocalSettings(memories={a: memory.going_on(5) for a, memory in memories.items()})
    same = run_local(component("homo_lr"), {"rounds": 5} | how, parties, RecordingExchange(), going_on)
    assert {metric.step for metric in same.metrics} == {5}


@pytest.mark.parametrize("packing", ["exact", "compact"])
def test_the_digits_cnn_is_as_good_in_fixed_point_as_in_floats(tmp_path, packing):
    data = digits()
    tables, test = halves(tmp_path, data, 3), make_table(tmp_path, "test", data.x_test, data.y_test)
    parties = {a: {"train": t} for a, t in zip(TRAINERS, tables, strict=True)} | {ARBITER: {}}
    cnn = {"net": {"name": "cnn", "input_shape": [1, 8, 8]}, "rounds": 20}
    accuracy = []
    for how in ({}, {"encoding": FIXED | {"packing": packing}}):
        memories = {address: LocalMemory() for address in parties}
        for address, memory in memories.items():  # so that stochastic rounding is the same in each run of this test
            memory.once("own-seed", lambda name=str(address): name.encode().ljust(32))
        settings = LocalSettings(memories=memories)
        result = run_local(component("homo_nn"), cnn | how, parties, RecordingExchange(), settings)
        accuracy.append((predict(result.model(HOST), test).predicted == data.y_test).mean())
    assert abs(accuracy[0] - accuracy[1]) <= 0.005, accuracy


@pytest.mark.parametrize("decay", [0.01, 0.1])
def test_compact_training_reaches_the_optimum_of_parties_that_pull_apart(tmp_path, decay):
    data = breast()
    order = np.argsort(data.y, kind="stable")  # one party has nearly all of a class
    tables = [
        make_table(tmp_path, f"p{i}", data.x[part], data.y[part]) for i, part in enumerate(np.split(order, [150]))
    ]
    parties = {a: {"train": t} for a, t in zip((GUEST, HOST), tables, strict=True)} | {ARBITER: {}}
    slow = {"rounds": 400, "local": {"batch_size": 10_000, "learning_rate": 0.5, "weight_decay": decay}}
    plain, compact = (
        run_local(component("homo_lr"), slow | how, parties, RecordingExchange()).model(GUEST).arrays
        for how in ({}, {"encoding": FIXED | {"packing": "compact"}})
    )
    for name, array in plain.items():
        np.testing.assert_allclose(compact[name], array, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("wrong", "error"), [(0.0, WrongSum), (np.nan, NotFinite)])
def test_an_exchange_names_a_sum_that_is_none(wrong, error):
    exchange = RecordingExchange()
    exchange.wire(ARBITER).send(GUEST, "sum", (0, 0), np.full(10, wrong, np.float32))  # the first write of a key wins
    with pytest.raises(error, match=r"round 0|sum\[0\]"):
        run_local(component("exchange"), {"values": 10}, {a: {} for a in (*TRAINERS, ARBITER)}, exchange)
