"""Pauses between tries, of which there may be any number."""

from __future__ import annotations

from runtime.limits.guessing import LONGEST_S, Brake
from runtime.limits.pauses import doubled_s
from tests.fakes.clock import FakeClock


def test_a_pause_doubles_up_to_its_bound_however_often_it_is_asked_for() -> None:
    assert [doubled_s(0.5, times, 15) for times in (0, 1, 4, 5, 60, 10_000)] == [0.5, 1, 8, 15, 15, 15]


def test_thousands_of_wrong_passwords_leave_the_account_as_slow_as_a_few_dozen() -> None:
    clock = FakeClock()
    brake = Brake(clock)
    for _ in range(2_000):
        brake.admit("ann")
        clock.advance(LONGEST_S)
    brake.admit("ann")
