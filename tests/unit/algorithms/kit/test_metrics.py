"""Scores of all parties are those of all rows."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.api.errors import NotFinite
from algorithms.kit.metrics import Score, Scores


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
