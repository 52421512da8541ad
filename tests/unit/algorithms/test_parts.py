"""The small pure parts: server optimiser, scores, linear model, context, channel, local memory."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import joining, key_agreement
from algorithms.adder import Adder
from algorithms.aggregation import AggregationParameters, rounding_of
from algorithms.channel import Channel
from algorithms.context import Context
from algorithms.contributor import Contributor
from algorithms.errors import BadKey, NotFinite, ParametersDiffer, RolesRefused, WrongKey, WrongLayout
from algorithms.federated.server import Server
from algorithms.joining import Joining
from algorithms.linear import log_loss, probability
from algorithms.local_run import LocalMemory
from algorithms.protection.settings import ProtectionSettings
from algorithms.registry import component
from algorithms.scores import Score, Scores
from party.ids import Address, Role
from tests.fixtures.algorithms import ARBITER, ENCRYPTED, FIXED_POINT, GUEST, HOST, RecordingExchange

MODEL = {"w": np.array([1.0, -1.0])}
UPDATE = {"w": np.array([0.5, 0.0])}


def context(address=GUEST, exchange=None, addresses=(ARBITER, GUEST, HOST)):
    memory = LocalMemory()
    channel = Channel((exchange or RecordingExchange()).wire(address), memory)
    return Context(address, tuple(sorted(addresses)), channel, None, None, None, memory, bytes(32))


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


def test_scores_are_weighted_by_rows():
    first = Scores(Score(1.0, 0.5, 30))
    second = Scores(Score(4.0, 1.0, 10), Score(2.0, 0.9, 5))
    words = [[word.value for word in scores.words()] for scores in (first, second)]
    mean = Scores.from_words([sum(pair) for pair in zip(*words, strict=True)])
    assert mean.train == Score(1.75, 0.625, 40)
    assert mean.validate.loss == 2.0
    assert mean.validate.accuracy == pytest.approx(0.9, abs=1e-6)
    assert "validate_loss" not in first.metrics()


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 2.0**56, 1e300])
def test_a_loss_that_is_no_number_or_beyond_all_bounds_is_named_before_it_is_sent(loss):
    with pytest.raises(NotFinite, match="The loss is"):
        Scores(Score(loss, 0.5, 3)).words()


def test_the_logistic_function_does_not_overflow():
    x = np.array([[1e6], [-1e6], [0.0]])
    np.testing.assert_array_equal(probability(x, np.ones(1), np.zeros(1)), [1.0, 0.0, 0.5])
    assert log_loss(np.array([1e6, -1e6]), np.array([1.0, 0.0])) == 0.0


def test_common_randomness_is_common_and_own_is_own():
    guest, host = context(GUEST), context(HOST)
    draw = [ctx.common_rng("x", (1, 2)).random() for ctx in (guest, host)]
    assert draw[0] == draw[1] != guest.common_rng("x", (1, 3)).random()
    assert guest.own_rng("x", 1).random() != host.own_rng("x", 1).random()
    assert guest.own_rng("x", 1).random() == guest.own_rng("x", 1).random()


def test_rows_in_one_batch_are_taken_as_they_lie():
    batches = context().mini_batches(5, 5, 2, 0)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize(("rows", "size", "sizes"), [(65, 32, [22, 22, 21]), (64, 32, [32, 32]), (7, 1, [1] * 7)])
def test_mini_batches_are_of_one_size_and_hold_each_row_once_in_an_epoch(rows, size, sizes):
    batches = context().mini_batches(rows, size, 2, 0)
    assert [len(batch) for batch in batches] == sizes * 2
    first, second = (np.concatenate(half).tolist() for half in (batches[: len(sizes)], batches[len(sizes) :]))
    assert sorted(first) == sorted(second) == list(range(rows))
    assert first != second


def test_once_gives_the_first_value_for_ever():
    ctx = context()
    assert ctx.once("name", lambda: {"a": 1}) == {"a": 1}
    assert ctx.once("name", lambda: {"a": 2}) == {"a": 1}


def test_the_verbs_of_a_channel():
    exchange = RecordingExchange()
    guest, host, arbiter = (Channel(exchange.wire(a), LocalMemory()) for a in (GUEST, HOST, ARBITER))
    arbiter.broadcast([HOST, GUEST], "model", 0, 7)
    assert guest.recv(ARBITER, "model", 0) == host.recv(ARBITER, "model", (0,)) == 7
    host.send_many(ARBITER, "many", {(1, 1): 1.5, (1, 2): 2.5})
    assert arbiter.recv(HOST, "many", (1, 2)) == 2.5
    host.send(ARBITER, "up", 3, "h")
    assert arbiter.recv_any([GUEST, HOST], "up", 3) == (HOST, "h")
    guest.send(ARBITER, "up", 3, "g")
    assert arbiter.gather([HOST, GUEST], "up", 3) == ["g", "h"]


def test_memory_keeps_the_last_two_checkpoints():
    memory = LocalMemory()
    assert memory.latest() is None
    for step in (1, 2, 3):
        memory.checkpoint(step, {"part": {"w": np.full(2, step)}})
    step, parts = memory.latest()
    assert (step, parts["part"]["w"].tolist()) == (3, [3, 3])
    assert sorted(memory._checkpoints) == [2, 3]


def two_sides(contributor, adder, exchange, vector):
    """A trainer with its own settings against an arbiter with its own, for one sum, step by step."""
    guest, arbiter = context(GUEST, exchange, (GUEST, ARBITER)), context(ARBITER, exchange, (GUEST, ARBITER))
    guest.channel.send(ARBITER, "update", (0, 0), vector)
    Adder(arbiter, adder).add(0)
    return Contributor(guest, contributor, 1).sum(0, {"w": np.zeros(2)})


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (np.zeros(2, np.float32), ParametersDiffer),
        (np.zeros(2, np.int64), ParametersDiffer),
        ("text", ParametersDiffer),
        (np.zeros(3), ParametersDiffer),
        (np.array(0.0), ParametersDiffer),
        (np.zeros((1, 2)), ParametersDiffer),
        (np.array([0.0, np.nan]), NotFinite),
    ],
)
def test_a_vector_of_another_type_or_length_is_refused(vector, error):
    plain = AggregationParameters()
    with pytest.raises(error):
        two_sides(plain, plain, RecordingExchange(), vector)


def test_a_sum_that_is_not_finite_is_refused_with_its_index():
    plain, exchange = AggregationParameters(), RecordingExchange()
    Channel(exchange.wire(ARBITER), LocalMemory()).send(GUEST, "sum", (0, 0), np.array([0.0, np.inf], np.float32))
    with pytest.raises(NotFinite, match=r"sum\[1\] is inf"):
        Contributor(context(GUEST, exchange), plain, 1).sum(0, {"w": np.zeros(2, np.float32)})


def test_a_fixed_point_vector_of_another_layout_is_refused():
    fixed = AggregationParameters(**FIXED_POINT)
    with pytest.raises(ParametersDiffer):
        two_sides(fixed, fixed, RecordingExchange(), np.zeros(2))
    wider = AggregationParameters(encoding={"kind": "fixed_point", "value_range": 64.0})
    layout = rounding_of(wider, 1).layout
    vector = {"layout": layout.to_json(1), "integers": np.zeros(2, np.int64)}
    with pytest.raises(WrongLayout):
        two_sides(fixed, fixed, RecordingExchange(), vector)


@pytest.mark.parametrize("integer", [1 << 32, -(1 << 32), 1 << 62, -(1 << 63)])
def test_a_fixed_point_integer_that_no_value_has_is_refused(integer):
    fixed = AggregationParameters(**FIXED_POINT)
    layout = rounding_of(fixed, 1).layout
    vector = {"layout": layout.to_json(1), "integers": np.array([0, integer])}
    with pytest.raises(WrongLayout, match="larger than those of 1 vectors"):
        two_sides(fixed, fixed, RecordingExchange(), vector)
    vector["integers"] = np.array(0)
    with pytest.raises(ParametersDiffer):
        two_sides(fixed, fixed, RecordingExchange(), vector)


BEGIN = {"rows": 3, "classes": np.zeros(0, np.int64)}
BROUGHT = BEGIN | {"columns": 1, "features": "ab", "settings": "cd", "warm_start": ""}
ODD = [{"rows": 0}, {"rows": "3"}, {"rows": True}, {"classes": np.zeros(2)}, {"classes": np.zeros((1, 1), np.int64)},
       {"classes": None}, {"more": 1}, {"rows": 1 << 40}, {"rows": -1}, {"rows": (1 << 63) - 1},
       {"classes": np.zeros(40_000, np.int64)}]  # fmt: skip
FOREIGN = [{"features": np.zeros(2)}, {"features": "g" * 64}, {"settings": "a" * 65}, {"warm_start": "\x1b[31m"},
           {"columns": -1}, {"columns": 1 << 62}]  # fmt: skip


def guest_and_arbiter():
    exchange = RecordingExchange()
    return context(GUEST, exchange, (GUEST, ARBITER)), context(ARBITER, exchange, (GUEST, ARBITER))


@pytest.mark.parametrize("brought", [7, {}, BEGIN, *(BROUGHT | odd for odd in (*ODD, *FOREIGN))])
def test_what_is_no_joining_is_refused(brought):
    guest, arbiter = guest_and_arbiter()
    guest.channel.send(ARBITER, "join", 0, brought)
    with pytest.raises(ParametersDiffer, match="guest:hospital-a does not say"):
        joining.admit(arbiter, {})


@pytest.mark.parametrize("start", [7, {}, {"rows": 3}, *(BEGIN | odd for odd in ODD)])
def test_what_is_no_start_is_refused(start):
    guest, arbiter = guest_and_arbiter()
    arbiter.channel.send(GUEST, "start", 0, start)
    with pytest.raises(ParametersDiffer, match="arbiter:coordinator does not say"):
        joining.join(guest, Joining(3, ("x",)), {})


def test_fewer_rows_in_all_than_the_own_ones_are_refused():
    guest, arbiter = guest_and_arbiter()
    arbiter.channel.send(GUEST, "start", 0, BEGIN | {"rows": 2})
    with pytest.raises(ParametersDiffer, match="counts 2 rows in all; guest:hospital-a has 3"):
        joining.join(guest, Joining(3, ("x",)), {})


def test_a_sum_that_lacks_a_trainer_is_refused():
    fixed, exchange = AggregationParameters(**FIXED_POINT), RecordingExchange()
    guest = Contributor(context(GUEST, exchange), fixed, 1)
    one = {"layout": rounding_of(fixed, 2).layout.to_json(1), "integers": np.zeros(2, np.int64)}
    Channel(exchange.wire(ARBITER), LocalMemory()).send(GUEST, "sum", (0, 0), one)
    with pytest.raises(WrongLayout, match="1 terms; there are 2 trainers"):
        guest.sum(0, {"w": np.zeros(2)})


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "text", None, np.zeros(32, np.uint8)])
def test_what_is_no_key_for_tags_is_refused(secret):
    exchange = RecordingExchange()
    Channel(exchange.wire(GUEST), LocalMemory()).send(HOST, "tag-key", 0, secret)
    with pytest.raises(BadKey, match="guest:hospital-a sent no key to make tags with"):
        key_agreement.agree_on_secret(context(HOST, exchange), ProtectionSettings(kind="paillier"))


def test_a_key_of_another_length_or_a_foreign_half_is_refused():
    from algorithms.crypto.paillier import generate

    secure, exchange = AggregationParameters(**ENCRYPTED), RecordingExchange()
    small, good, other = generate(1024), generate(2048), generate(2048)
    maker = Channel(exchange.wire(GUEST), LocalMemory())
    maker.send(ARBITER, "public-key", 0, small.public.record())
    with pytest.raises(BadKey, match="1024 bits; the job says standard, 2048 bits"):
        Adder(context(ARBITER, exchange), secure)
    maker.send(HOST, "public-key", 0, good.public.record())
    maker.send(HOST, "private-key", 0, other.record())
    with pytest.raises(WrongKey, match="guest:hospital-a"):
        Contributor(context(HOST, exchange), secure, 1)


def test_a_public_key_with_another_h_than_the_private_one_is_refused():
    from algorithms.crypto.paillier import PublicKey, generate

    secure, exchange = AggregationParameters(**ENCRYPTED), RecordingExchange()
    good, other = generate(2048), generate(2048)
    maker = Channel(exchange.wire(GUEST), LocalMemory())
    maker.send(HOST, "public-key", 0, PublicKey(good.public.n, other.h % good.public.n).record())
    maker.send(HOST, "private-key", 0, good.record())
    with pytest.raises(WrongKey, match="guest:hospital-a"):
        Contributor(context(HOST, exchange), secure, 1)


@pytest.mark.parametrize("side", [lambda ctx, how: Contributor(ctx, how, 1), Adder], ids=["trainer", "arbiter"])
def test_every_executor_refuses_an_arbiter_that_could_decrypt(side):
    arbiter = Address.parse("arbiter:hospital-a")
    ctx = context(arbiter, addresses=(GUEST, HOST, arbiter))
    with pytest.raises(RolesRefused, match="'hospital-a' is arbiter and trainer"):
        side(ctx, AggregationParameters(**ENCRYPTED))


def test_peers_are_sorted_and_chosen_by_role():
    ctx = context()
    assert ctx.peers() == (ARBITER, GUEST, HOST)
    assert ctx.peers(Role.GUEST, Role.HOST) == (GUEST, HOST)
