"""The linear classifier at its edges."""

from __future__ import annotations

import numpy as np

from algorithms.models.linear import log_loss, probability


def test_the_logistic_function_does_not_overflow():
    x = np.array([[1e6], [-1e6], [0.0]])
    np.testing.assert_array_equal(probability(x, np.ones(1), np.zeros(1)), [1.0, 0.0, 0.5])
    assert log_loss(np.array([1e6, -1e6]), np.array([1.0, 0.0])) == 0.0
