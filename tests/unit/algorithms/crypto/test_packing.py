"""Fixed point and slots: what fits comes back, what does not is named."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.api.errors import NotFinite, ValueOutgrewLayout, WrongLayout
from algorithms.crypto.packing import FixedPointLayout

LAYOUT = FixedPointLayout.exact(16.0, additions=3, key_bits=2048)


def times(rows, factor):
    """The same plaintexts multiplied, cut to the width of a row."""
    width = rows.shape[1]
    numbers = [int.from_bytes(row.tobytes(), "big") * factor % (1 << 8 * width) for row in rows]
    return np.array([np.frombuffer(number.to_bytes(width, "big"), np.uint8) for number in numbers])


def test_three_parties_need_less_than_nine_bytes_a_value():
    assert LAYOUT.slot_bits == 35
    assert 512 / LAYOUT.slots <= 9
    assert LAYOUT.fits(2048)
    assert not LAYOUT.fits(2024)


@pytest.mark.parametrize("largest", [1e-6, 0.3, 1.0, 16.0, 1000.0, 2.0**40])
def test_the_error_of_a_value_is_below_two_to_the_minus_thirty_of_the_range(largest):
    layout = FixedPointLayout.exact(largest, 3, 2048)
    values = np.linspace(-largest, largest, 1001) * (1 - 2**-32)
    assert np.abs(layout.floats(layout.integers(values)) - values).max() <= 2 * largest * 2**-30


def test_the_edges_of_the_range_come_back():
    edge = LAYOUT.largest
    values = np.array([edge, -edge, 0.0, -0.0, 5e-324, -1e-300])
    integers = LAYOUT.integers(values)
    back = LAYOUT.unpack(LAYOUT.pack(integers, 256), len(values), 1)
    np.testing.assert_array_equal(back, integers)
    np.testing.assert_array_equal(LAYOUT.floats(back), [edge, -edge, 0, 0, 0, 0])


@pytest.mark.parametrize("largest", [0.3, 1.0, 16.0])
def test_values_must_be_smaller_than_the_range_asked_for(largest):
    layout = FixedPointLayout.exact(largest, 3, 2048)
    layout.integers(np.array([np.nextafter(largest, 0) * (1 - 2**-32)]))
    with pytest.raises(ValueOutgrewLayout):
        layout.integers(np.array([2 * largest]))


def test_a_value_beyond_the_edge_is_named_with_its_index():
    values = np.array([0.0, 1.0, -16.5])
    with pytest.raises(ValueOutgrewLayout, match=r"bias\[2\] = -16.5"):
        LAYOUT.integers(values, "bias")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_with_its_index(wrong):
    with pytest.raises(NotFinite, match=r"conv\.weight\[1\]"):
        LAYOUT.integers(np.array([0.0, wrong, wrong]), "conv.weight")


@pytest.mark.parametrize("count", [1, 57, 58, 59, 500])
@pytest.mark.parametrize("key_bits", [1024, 2048, 3072])
def test_sums_of_extreme_values_do_not_reach_their_neighbours(count, key_bits):
    layout = FixedPointLayout.exact(16.0, 4, key_bits)
    extremes = np.where(np.arange(count) % 2, layout.offset - 1, -(layout.offset - 1))
    rows = layout.pack(extremes, key_bits // 8)
    np.testing.assert_array_equal(layout.unpack(times(rows, 4), count, 4), 4 * extremes)


def test_an_integer_that_no_value_has_is_not_packed():
    for wrong in (LAYOUT.offset, -LAYOUT.offset):
        with pytest.raises(WrongLayout, match="between"):
            LAYOUT.pack(np.array([0, wrong]), 256)


def test_sixteen_bits_for_three_parties_need_less_than_five_and_a_half_bytes_a_value():
    layout = FixedPointLayout.compact(1.0, 3, 2048)
    assert (layout.value_bits, layout.scale) == (16, 15)
    assert 512 / layout.slots <= 5.5


def test_a_layout_survives_its_json():
    assert FixedPointLayout.parse(LAYOUT.to_json(2)) == (LAYOUT, 2)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "7",
        LAYOUT.to_json(4), LAYOUT.to_json(0), LAYOUT.to_json(1).replace('"schema": 1', '"schema": 2'),
        LAYOUT.to_json(1).replace('"terms": 1', '"terms": Infinity'), LAYOUT.to_json(1).replace("33", "-Infinity"),
        LAYOUT.to_json(1).replace("33", "NaN"), LAYOUT.to_json(1).replace("33", "1e400"), "[" * 100_000,
        LAYOUT.to_json(1).replace("33", "63"), LAYOUT.to_json(1).replace("slots", "slot"),
        LAYOUT.to_json(1).replace("33", "33.0"), LAYOUT.to_json(1).replace("33", '"33"'),
        LAYOUT.to_json(1).replace("58", "9" * 4000),
    ],
)  # fmt: skip
def test_a_layout_that_is_none_is_refused(text):
    with pytest.raises(WrongLayout):
        FixedPointLayout.parse(text)


def test_a_sum_with_another_count_or_too_many_terms_is_refused():
    packed = LAYOUT.pack(np.arange(10), 256)
    for count, terms in ((100, 1), (10, 4), (10, 0)):
        with pytest.raises(WrongLayout):
            LAYOUT.unpack(packed, count, terms)
    with pytest.raises(WrongLayout):
        LAYOUT.unpack(times(packed, 1 << 1800), 10, 1)
    with pytest.raises(WrongLayout, match="forged"):
        LAYOUT.unpack(times(packed, 1 << 1000), 10, 1)


def test_slots_wider_than_a_word_are_refused():
    with pytest.raises(WrongLayout, match="62"):
        FixedPointLayout(62, 0, 5, 1)
