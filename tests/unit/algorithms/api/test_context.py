"""What a role function is given: randomness, batches, a journal, peers."""

from __future__ import annotations

import numpy as np
import pytest

from party.ids import Role
from tests.fixtures.algorithms import ARBITER, GUEST, HOST, context


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


def test_peers_are_sorted_and_chosen_by_role():
    ctx = context()
    assert ctx.peers() == (ARBITER, GUEST, HOST)
    assert ctx.peers(Role.GUEST, Role.HOST) == (GUEST, HOST)
