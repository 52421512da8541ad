"""Sixteen bits with error feedback: unbiased, nothing is lost, the range follows, what is too large is named."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.api.errors import NotFinite, ValueOutgrewLayout, WrongLayout
from algorithms.crypto.packing import FixedPointLayout
from algorithms.encoding.compact import LOWEST_RANGE, CompactEncoder
from algorithms.kit.named_vectors import MOST_VALUES, NamedVectors
from storage.client import decode, encode

LAYOUT = FixedPointLayout.compact(1.0, 3, 2048)


def encoder(largest=16.0, trainers=1, kept=None):
    return CompactEncoder(largest, trainers, kept or {})


def look(side, seed=0, **vectors):
    """See a vector; its pieces come back."""
    whole = NamedVectors({name: np.asarray(vector) for name, vector in vectors.items()})
    side.look(whole, drawn(seed))
    return list(whole.pieces(0, whole.count))


def encoded(side, pieces):
    return np.concatenate([side.encode(piece) for piece in pieces])


def rng(seed=0):
    return np.random.default_rng(seed)


def drawn(seed=0):
    return lambda: rng(seed)


def one_turn(rounded, values, seed=0):
    """Round a vector as if it were the only one: what the sum says."""
    return a_sum([rounded], [values], seed)


def a_sum(sides, vectors, seed=0):
    """One sum of several trainers' vectors."""
    seen = [look(side, (seed, i), w=vector) for i, (side, vector) in enumerate(zip(sides, vectors, strict=True))]
    marks = sum(side.mark() for side in sides)
    total = 0
    for side, pieces in zip(sides, seen, strict=True):
        side.cover(marks)
        integers = encoded(side, pieces)
        LAYOUT.pack(integers, 256)
        total = total + integers
    return sides[0].decode(total, 0)


def test_a_value_is_rounded_to_one_of_its_two_neighbours_and_right_on_average():
    values = np.full(20_000, 0.3)
    found = one_turn(encoder(1.0), values)
    assert set(np.rint(found * 2**16)) == {np.floor(0.3 * 2**16), np.ceil(0.3 * 2**16)}
    assert found.mean() == pytest.approx(0.3, abs=4 * 2**-16 / np.sqrt(len(values)))


def test_what_rounding_takes_comes_with_the_next_vectors():
    rounded, values = encoder(), rng(1).normal(size=200) * 1e-3
    total = sum(one_turn(rounded, values, seed) for seed in range(30))
    assert np.abs(total - 30 * values).max() <= 2 * np.abs(values).max() * 2**-15


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-2, 1.0])
def test_a_vector_of_any_size_is_kept_to_fifteen_bits_of_its_largest_value(scale):
    rounded, values = encoder(), rng(1).normal(size=200) * scale
    one_turn(rounded, rng(2).normal(size=200))
    one_turn(rounded, np.zeros(200))  # what was left over has gone with this one
    assert np.abs(one_turn(rounded, values) - values).max() <= 2**-13 * max(np.abs(values).max(), 2**-14)


def test_a_piece_at_a_time_is_the_whole():
    values = rng(2).normal(size=1000)
    whole, parts = encoder(), encoder()
    one = look(whole, 5, w=values)
    three = look(parts, 5, a=values[:10], b=values[10:700], c=values[700:])
    assert (len(one), len(three)) == (1, 3)
    assert parts.seen == whole.seen == np.abs(values).max()
    for side in (parts, whole):
        side.cover(side.mark())
    np.testing.assert_array_equal(encoded(parts, three), encoded(whole, one))
    assert parts.kept()["residual"].tobytes() == whole.kept()["residual"].tobytes()


def test_it_goes_on_from_what_a_checkpoint_kept_bit_for_bit():
    values = rng(3).normal(size=50)
    first = encoder()
    one_turn(first, values, 0)
    kept = decode(encode(dict(first.kept())))
    second = encoder(kept=kept)
    for seed in (1, 2):
        np.testing.assert_array_equal(one_turn(first, values, seed), one_turn(second, values, seed))


def test_an_integer_never_leaves_sixteen_bits_and_the_rest_is_kept():
    edge = np.nextafter(8.0, 0.0)
    rounded, values = encoder(), np.array([edge, -edge, 0.0, 7.999])
    pieces = look(rounded, w=values)
    rounded.cover(rounded.mark())
    integers = encoded(rounded, pieces)
    assert integers[:3].tolist() == [32767, -32767, 0]
    LAYOUT.pack(integers, 256)
    np.testing.assert_allclose(rounded.decode(integers, 0) + rounded.kept()["residual"], values, rtol=1e-6)


def test_vectors_that_cancel_out_keep_their_range():
    """Near an optimum every trainer pulls another way: the sum says nothing of how large the vectors are."""
    sides, w, pulls = [encoder(trainers=3) for _ in range(3)], np.zeros(5), (1.0, -0.5, -0.5)
    for seed in range(400):
        w = w + a_sum(sides, [0.5 * (pull - w) / 3 for pull in pulls], seed)
    assert np.abs(w).max() < 1e-3
    assert max(np.abs(side.kept()["residual"]).max() for side in sides) < 1e-3


@pytest.mark.parametrize("largest", [0.0, 5e-324, 2.0**-90, 2.0**-86, 1e-9, 0.75, 1.0, 2.0**40])
def test_the_range_is_the_power_of_two_above_the_largest_value_of_anybody(largest):
    sides = [encoder(2.0**40 + 1, trainers=2), encoder(2.0**40 + 1, trainers=2)]
    for side, seen in zip(sides, (largest, largest / 3), strict=True):
        look(side, w=[-seen])
    marks = sides[0].mark() + sides[1].mark()
    assert marks.sum() == 2
    for side in sides:
        side.cover(marks)
    unit = sides[0].decode(np.array([2**15]), 0)[0]
    assert largest < unit
    assert unit == 2.0**LOWEST_RANGE or unit <= 2 * largest


@pytest.mark.parametrize("change", [(0, 1), (5, -1)], ids=["one more", "less than none"])
def test_ranges_that_are_not_those_of_all_trainers_are_refused(change):
    rounded = encoder()
    look(rounded, w=[3.0])
    marks = rounded.mark()
    marks[change[0]] += change[1]
    with pytest.raises(WrongLayout, match="not those of 1 trainers"):
        rounded.cover(marks)


def test_a_range_that_leaves_out_our_own_is_refused():
    """Whoever could make it small would see which way each of our numbers points."""
    rounded = encoder()
    look(rounded, w=[3.0])
    with pytest.raises(WrongLayout):
        rounded.cover(np.roll(rounded.mark(), -1))


@pytest.mark.parametrize("wrong", [16.0, -17.0])
def test_a_value_beyond_the_range_of_the_job_is_named(wrong):
    rounded = encoder()
    with pytest.raises(ValueOutgrewLayout, match=rf"conv\[2\] = {wrong:g} "):
        look(rounded, before=np.zeros(10), conv=[0.0, 1.0, wrong])


def test_what_is_not_finite_is_named():
    rounded = encoder()
    with pytest.raises(NotFinite, match=rf"conv\[{MOST_VALUES + 1}\]"):
        look(rounded, conv=[*np.zeros(MOST_VALUES), 0.0, np.nan, 1.0])


def test_zeros_stay_zeros():
    rounded = encoder()
    assert not one_turn(rounded, np.zeros(10)).any()
    assert not rounded.kept()["residual"].any()
