"""Sixteen bits with error feedback: unbiased, nothing is lost, the range follows, what is too large is named."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.crypto.feedback import FeedbackRounding
from algorithms.crypto.packing import FixedPointLayout
from algorithms.errors import NotFinite, ValueOutgrewLayout
from storage.client import decode, encode

LAYOUT = FixedPointLayout.compact(1.0, 3, 2048)


def rounding(largest=16.0, kept=None):
    return FeedbackRounding(LAYOUT, largest, kept)


def rng(seed=0):
    return np.random.default_rng(seed)


def drawn(seed=0):
    return lambda: rng(seed)


def one_turn(rounded, values, seed=0):
    """Round a vector as if it were the only one: what the sum says."""
    rounded.begin(len(values), drawn(seed))
    return rounded.floats(rounded.integers(values, "w", 0, 0))


def test_a_value_is_rounded_to_one_of_its_two_neighbours_and_right_on_average():
    values = np.full(20_000, 0.3)
    found = one_turn(rounding(1.0), values)
    assert set(np.rint(found * 2**15)) == {np.floor(0.3 * 2**15), np.ceil(0.3 * 2**15)}
    assert found.mean() == pytest.approx(0.3, abs=4 * 2**-15 / np.sqrt(len(values)))


def test_what_rounding_takes_comes_with_the_next_vectors():
    rounded, values = rounding(), rng(1).normal(size=200) * 1e-3
    total = sum(one_turn(rounded, values, seed) for seed in range(30))
    last_step = np.ldexp(1.0, rounded._exponent - LAYOUT.scale)
    assert np.abs(total - 30 * values).max() <= last_step * 1.01
    assert last_step < 1e-6


def test_the_range_follows_the_sums_down_and_up_again():
    rounded, values = rounding(), rng(1).normal(size=200)
    for scale in (1e-6, 1e-6, 1e-2, 1e-2, 1e-2, 1e-2, 1e-2, 1e-2, 1e-2, 1e-2):
        found = one_turn(rounded, scale * values)
    assert np.abs(found).max() == pytest.approx(np.abs(values).max() * 1e-2, rel=1e-2)


def test_a_piece_at_a_time_is_the_whole():
    values = rng(2).normal(size=1000)
    whole, pieces = rounding(), rounding()
    whole.begin(1000, drawn(5))
    pieces.begin(1000, drawn(5))
    cut = [pieces.integers(values[a:b], "w", a, a) for a, b in ((0, 10), (10, 700), (700, 1000))]
    np.testing.assert_array_equal(np.concatenate(cut), whole.integers(values, "w", 0, 0))
    assert pieces.kept()["residual"].tobytes() == whole.kept()["residual"].tobytes()


def test_it_goes_on_from_what_a_checkpoint_kept_bit_for_bit():
    values = rng(3).normal(size=50)
    first = rounding()
    one_turn(first, values, 0)
    kept = decode(encode(dict(first.kept())))
    second = rounding(kept=kept)
    for seed in (1, 2):
        np.testing.assert_array_equal(one_turn(first, values, seed), one_turn(second, values, seed))
    assert first.kept()["exponent"] == second.kept()["exponent"]


def test_an_integer_never_leaves_sixteen_bits_and_the_rest_is_kept():
    rounded = rounding(kept={"exponent": -4, "residual": np.zeros(4, np.float32)})
    rounded.begin(4, drawn())
    values = np.array([5.0, -5.0, 0.0, 15.0])
    integers = rounded.integers(values, "w", 0, 0)
    assert np.abs(integers).tolist() == [32767, 32767, 0, 32767]
    LAYOUT.pack(integers, 256)
    np.testing.assert_allclose(rounded.floats(integers) + rounded.kept()["residual"], values, rtol=1e-4)


@pytest.mark.parametrize("wrong", [16.1, -17.0])
def test_a_value_beyond_the_range_of_the_job_is_named(wrong):
    rounded = rounding()
    rounded.begin(3, drawn())
    with pytest.raises(ValueOutgrewLayout, match=r"conv\[12\]"):
        rounded.integers(np.array([0.0, 1.0, wrong]), "conv", 10, 0)


def test_what_is_not_finite_is_named():
    rounded = rounding()
    rounded.begin(3, drawn())
    with pytest.raises(NotFinite, match=r"conv\[11\]"):
        rounded.integers(np.array([0.0, np.nan, 1.0]), "conv", 10, 0)


def test_zeros_stay_zeros_and_the_range_shrinks_to_an_end():
    rounded = rounding()
    for _ in range(20):
        assert not one_turn(rounded, np.zeros(10)).any()
    assert rounded.kept()["exponent"] == 4 - 40


def test_numbers_far_below_the_first_range_get_through():
    rounded, values = rounding(), rng(4).normal(size=100) * 1e-7
    total = sum(one_turn(rounded, values, seed) for seed in range(20))
    np.testing.assert_allclose(total, 20 * values, rtol=0, atol=1e-9)
