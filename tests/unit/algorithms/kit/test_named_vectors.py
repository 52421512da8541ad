"""Arrays by name as one vector, in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.kit.named_vectors import NamedVectors

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "empty": np.zeros(0), "b": np.float64(6.0), "c": np.arange(7.0, 12.0)}


def test_they_come_back_in_their_shapes():
    whole = NamedVectors(ARRAYS)
    assert whole.count == 12
    shaped = whole.shaped(np.arange(12.0))
    assert list(shaped) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(shaped[name], array)


@pytest.mark.parametrize(("start", "stop"), [(0, 12), (0, 0), (2, 5), (5, 8), (6, 7), (7, 12), (11, 12)])
def test_pieces_cover_a_stretch_and_know_their_places(start, stop):
    pieces = list(NamedVectors(ARRAYS).pieces(start, stop))
    assert [v for piece in pieces for v in piece.values] == list(range(start, stop))
    for piece in pieces:
        flat = np.ravel(ARRAYS[piece.name])
        np.testing.assert_array_equal(flat[piece.start : piece.start + len(piece.values)], piece.values)
        assert piece.values[0] == piece.at


def test_they_are_single_if_all_are():
    single, double = np.zeros(2, np.float32), np.zeros(2)
    assert NamedVectors({"a": single, "b": single}).dtype == np.float32
    assert NamedVectors({"a": single, "b": double}).dtype == np.float64
    assert NamedVectors({"a": np.zeros(2, np.int32)}).dtype == np.float64
    assert NamedVectors({}).dtype == np.float64


def test_no_arrays_are_a_vector_too():
    assert NamedVectors({}).shaped(np.zeros(0)) == {}


def test_pieces_are_views():
    array = np.zeros(4)
    next(NamedVectors({"a": array}).pieces(1, 3)).values[:] = 7
    assert array.tolist() == [0, 7, 7, 0]
