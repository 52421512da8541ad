"""An arbiter that lies under Paillier: every lie is found before anything of it is used, and none tells it anything."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from algorithms.api.errors import ParametersDiffer, SumNotWhole
from algorithms.crypto.paillier import generate
from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.registry import component
from storage.client import Ciphertexts, decode, encode
from tests.fakes.lying_arbiter import (
    LyingExchange,
    Threshold,
    as_sum_of,
    moved,
    numbers_of,
    offset_of,
    times,
    with_numbers,
)
from tests.fixtures.algorithms import ARBITER, GUEST, HOST, HOST_C, breast, make_table

TRAINERS = (GUEST, HOST, HOST_C)
ROWS, COLUMN = 40, 0


@cache
def key_record():
    return encode(generate(2048, "subgroup").record())


def memories(addresses):
    """With the key made already, so that many jobs are quick."""
    made = {address: LocalMemory() for address in addresses}
    made[GUEST].once("paillier-key", lambda: bytes(key_record()))
    return made


PAILLIER = {"kind": "paillier", "keygen": "subgroup"}


@pytest.fixture
def tables(tmp_path):
    data = breast()
    cuts = [slice(i * ROWS, (i + 1) * ROWS) for i in range(3)]
    return [make_table(tmp_path, f"t{i}", data.x[cut], data.y[cut]) for i, cut in enumerate(cuts)]


def train(tables, exchange, *, trainers=TRAINERS, name="homo_lr", **parameters):
    given = {"protection": PAILLIER} | parameters
    port = "data" if name == "scale" else "train"
    parties = {a: {port: t} for a, t in zip(trainers, tables, strict=False)} | {ARBITER: {}}
    return run_local(component(name), given, parties, exchange, LocalSettings(memories=memories(parties)))


def crafted(exchange, to, step, honest):
    return Threshold(0.5, COLUMN)(exchange, to, step, honest)


def offset_on_a_weight(exchange, _to, _step, honest):
    return moved(exchange.public, honest, [1 << 20])


def offset_beyond_what_values_can_be(exchange, _to, _step, honest):
    """Found as any other lie is, and told alike: else what is told would depend on the value that was moved."""
    return moved(exchange.public, honest, [3 << 32])


def offset_beyond_the_plaintext(exchange, _to, _step, honest):
    return moved(exchange.public, honest, [0] * (honest.count - 1) + [1 << 2000])


def offset_on_a_score(exchange, _to, _step, honest):
    return moved(exchange.public, honest, [0] * (honest.count - 8) + [1])


def offset_on_a_tag(exchange, _to, _step, honest):
    return moved(exchange.public, honest, [0] * (honest.count - 1) + [1])


def one_of_them(exchange, _to, step, honest):
    alone = exchange.update(HOST, step)
    return as_sum_of(3, moved(exchange.public, alone, [2 * o for o in offset_of(alone)]))


def one_of_them_three_times(exchange, _to, step, honest):
    return as_sum_of(3, times(exchange.public, exchange.update(HOST, step), 3))


def one_instead_of_another(exchange, _to, step, honest):
    """Two times the first, once the second, never the third."""
    public = exchange.public
    twice, once = times(public, exchange.update(GUEST, step), 2), exchange.update(HOST, step)
    product = [a * b % public.n_squared for a, b in zip(numbers_of(twice), numbers_of(once), strict=True)]
    return with_numbers(honest, product)


def only_to_one(exchange, to, _step, honest):
    return offset_on_a_weight(exchange, to, _step, honest) if to == HOST else honest


def the_last_one_again(exchange, _to, step, honest):
    if step[0] < 1:
        return honest
    return exchange.sums()[0]


LIES = [
    crafted, offset_on_a_weight, offset_beyond_what_values_can_be, offset_beyond_the_plaintext, offset_on_a_score,
    offset_on_a_tag, one_of_them, one_of_them_three_times, one_instead_of_another, only_to_one, the_last_one_again,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_sum_that_is_not_everybodys_is_refused_before_it_is_used(tables, lie):
    exchange = LyingExchange(lie=lie)
    with pytest.raises(SumNotWhole, match="each once"):
        train(tables, exchange, rounds=3)
    last = 1 if lie is the_last_one_again else 0
    assert max(s.step[0] for s in exchange.sent if s.tag == "update" and s.frm == HOST) == last  # it did not go on


@pytest.mark.parametrize("name", ["homo_nn", "scale"])
def test_every_component_that_adds_up_refuses_it(tables, name):
    with pytest.raises(SumNotWhole, match="each once"):
        train(tables, LyingExchange(lie=offset_on_a_weight), name=name)


@pytest.mark.parametrize("step", [0, 1, 4, 5], ids=["range", "vector", "later range", "later vector"])
def test_a_compact_sum_and_its_range_are_checked_alike(tables, step):
    def lie(exchange, _to, at, honest):
        return moved(exchange.public, honest, [1]) if at[0] == step else honest

    with pytest.raises(SumNotWhole, match="each once"):
        train(tables, LyingExchange(lie=lie), rounds=3, encoding={"packing": "compact"})


def test_a_trainer_without_the_key_checks_what_others_decrypt_for_it(tables):
    with pytest.raises(SumNotWhole):
        train(
            tables,
            LyingExchange(lie=offset_on_a_weight),
            rounds=1,
            protection=PAILLIER | {"key_holders": ("hospital-a",)},
        )


def test_an_arbiter_that_counts_rows_wrongly_to_one_or_to_all_is_found(tables):
    with pytest.raises(SumNotWhole, match="each once"):
        train(tables, LyingExchange(starts={HOST: 10**9}), rounds=1)
    with pytest.raises(SumNotWhole, match=f"{3 * ROWS} rows together; the arbiter said 1000"):
        train(tables, LyingExchange(starts=dict.fromkeys(TRAINERS, 1000)), rounds=1)
    with pytest.raises(ParametersDiffer, match="counts 1 rows"):
        train(tables, LyingExchange(starts=dict.fromkeys(TRAINERS, 1)), rounds=1)


def test_an_honest_arbiter_is_sent_nothing_but_ciphertexts_once_all_have_joined(tables):
    exchange = LyingExchange()
    result = train(tables, exchange, rounds=3)
    told = [s for s in exchange.sent if s.to == ARBITER and s.tag not in ("join", "public-key")]
    assert {s.tag for s in told} == {"update"}
    assert all(isinstance(decode(s.body), Ciphertexts) for s in told)
    assert not [m for m in result.metrics if m.address == ARBITER]
    assert len(result.series(GUEST, "loss")) == 4


def attack(tables, probes):
    """Values and labels of the guest's rows as the arbiter finds them, a job with a lie for each threshold.

    It takes whatever it can read or notice: where that changes from one threshold to the next there is a value, and
    what it says, whether it grows or shrinks, is taken for the label.
    """
    thresholds, seen = np.linspace(-2.5, 2.5, probes), []
    for tau in thresholds:
        exchange = LyingExchange(lie=Threshold(tau, COLUMN))
        try:
            train(tables[:2], exchange, trainers=(GUEST, HOST), rounds=1)
            outcome = "succeeded"
        except SumNotWhole as error:
            outcome = error.message
        seen.append((outcome, str(exchange.readable())))
    steps = [i for i in range(1, probes) if seen[i] != seen[i - 1]]
    return [(thresholds[i] + thresholds[i - 1]) / 2 for i in steps], [seen[i] > seen[i - 1] for i in steps]


def assert_learns_nothing(tables, probes):
    values, labels = attack(tables, probes)
    data = breast()
    order = np.argsort(data.x[:ROWS, COLUMN])
    truth, true_labels = data.x[:ROWS, COLUMN][order], data.y[:ROWS][order]
    majority = max(true_labels.mean(), 1 - true_labels.mean())
    guessed = np.full(ROWS, true_labels.mean() > 0.5) if len(labels) < ROWS else np.array(labels[:ROWS])
    assert (guessed == true_labels).mean() <= majority + 0.05
    correlation = np.corrcoef(values[:ROWS], truth)[0, 1] if len(values) >= ROWS else 0.0
    assert abs(correlation) <= 0.2


def test_crafted_sums_tell_an_arbiter_neither_values_nor_labels(tables):
    assert_learns_nothing(tables, 12)


@pytest.mark.soak
@pytest.mark.timeout(3600)  # five minutes; more beside other work
def test_crafted_sums_tell_an_arbiter_neither_values_nor_labels_in_1312_jobs(tables):
    assert_learns_nothing(tables, 1312)
