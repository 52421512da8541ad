"""One sum between a trainer and an arbiter: what does not belong to it is refused."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.channel import Channel
from algorithms.api.errors import NotFinite, ParametersDiffer, WrongLayout
from algorithms.local_run import LocalMemory
from tests.fixtures.algorithms import ARBITER, FIXED_POINT, GUEST, RecordingExchange, context


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
    vector = wider.encoder(1, {}).codes[-1].write(np.zeros(2, np.int64), 1)
    with pytest.raises(WrongLayout):
        two_sides(fixed, fixed, RecordingExchange(), vector)


@pytest.mark.parametrize("integer", [1 << 32, -(1 << 32), 1 << 62, -(1 << 63)])
def test_a_fixed_point_integer_that_no_value_has_is_refused(integer):
    fixed = AggregationParameters(**FIXED_POINT)
    vector = fixed.encoder(1, {}).codes[-1].write(np.array([0, integer]), 1)
    with pytest.raises(WrongLayout, match="larger than those of 1 vectors"):
        two_sides(fixed, fixed, RecordingExchange(), vector)
    vector["integers"] = np.array(0)
    with pytest.raises(ParametersDiffer):
        two_sides(fixed, fixed, RecordingExchange(), vector)


def test_a_sum_that_lacks_a_trainer_is_refused():
    fixed, exchange = AggregationParameters(**FIXED_POINT), RecordingExchange()
    guest = Contributor(context(GUEST, exchange), fixed, 1)
    one = fixed.encoder(2, {}).codes[-1].write(np.zeros(2, np.int64), 1)
    Channel(exchange.wire(ARBITER), LocalMemory()).send(GUEST, "sum", (0, 0), one)
    with pytest.raises(WrongLayout, match="1 terms, not 2"):
        guest.sum(0, {"w": np.zeros(2)})
