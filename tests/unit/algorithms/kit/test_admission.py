"""How a task over split rows begins: what is no joining and no start is refused."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.api.errors import ParametersDiffer
from algorithms.kit import admission
from algorithms.kit.admission import Joining
from tests.fixtures.algorithms import ARBITER, GUEST, RecordingExchange, context

BEGIN = {"rows": 3, "classes": np.zeros(0, np.int64)}
BROUGHT = BEGIN | {"columns": 1, "names": "ef", "features": "ab", "settings": "cd", "warm_start": ""}
ODD = [{"rows": 0}, {"rows": "3"}, {"rows": True}, {"classes": np.zeros(2)}, {"classes": np.zeros((1, 1), np.int64)},
       {"classes": None}, {"more": 1}, {"rows": 1 << 40}, {"rows": -1}, {"rows": (1 << 63) - 1},
       {"classes": np.zeros(40_000, np.int64)}]  # fmt: skip
FOREIGN = [{"names": 1}, {"features": np.zeros(2)}, {"features": "g" * 64}, {"settings": "a" * 65},
           {"warm_start": "\x1b[31m"},
           {"columns": -1}, {"columns": 1 << 62}]  # fmt: skip


def guest_and_arbiter():
    exchange = RecordingExchange()
    return context(GUEST, exchange, (GUEST, ARBITER)), context(ARBITER, exchange, (GUEST, ARBITER))


@pytest.mark.parametrize("brought", [7, {}, BEGIN, *(BROUGHT | odd for odd in (*ODD, *FOREIGN))])
def test_what_is_no_joining_is_refused(brought):
    guest, arbiter = guest_and_arbiter()
    guest.channel.send(ARBITER, "join", 0, brought)
    with pytest.raises(ParametersDiffer, match="guest:hospital-a does not say"):
        admission.admit(arbiter, {})


@pytest.mark.parametrize("start", [7, {}, {"rows": 3}, *(BEGIN | odd for odd in ODD)])
def test_what_is_no_start_is_refused(start):
    guest, arbiter = guest_and_arbiter()
    arbiter.channel.send(GUEST, "start", 0, start)
    with pytest.raises(ParametersDiffer, match="arbiter:coordinator does not say"):
        admission.join(guest, Joining(3, ("x",)), {})


def test_fewer_rows_in_all_than_the_own_ones_are_refused():
    guest, arbiter = guest_and_arbiter()
    arbiter.channel.send(GUEST, "start", 0, BEGIN | {"rows": 2})
    with pytest.raises(ParametersDiffer, match="counts 2 rows in all; guest:hospital-a has 3"):
        admission.join(guest, Joining(3, ("x",)), {})
