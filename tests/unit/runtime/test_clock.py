from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runtime.clock import HybridTime, SystemClock, apart_text, span, when
from tests.fakes.clock import FakeClock


def test_a_fake_clock_moves_only_by_hand() -> None:
    clock = FakeClock()
    before = clock.now(), clock.monotonic()
    clock.advance(1.5)
    assert clock.now() - before[0] == timedelta(seconds=1.5)
    assert clock.monotonic() - before[1] == 1.5


def test_the_system_clock_is_aware_and_monotonic() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_hybrid_time_never_goes_back_and_follows_what_it_has_seen() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    zero = HybridTime(0, 0)
    first = zero.next(at)
    assert first == HybridTime(int(at.timestamp() * 1000), 0)
    assert first.next(at) == HybridTime(first.wall_ms, 1)
    assert first.next(at - timedelta(hours=1)) > first
    ahead = HybridTime(first.wall_ms + 5000, 7)
    assert first.next(at, seen=ahead) == HybridTime(ahead.wall_ms, 8)
    assert HybridTime.parse(str(ahead)) == ahead
    assert sorted([str(ahead), str(first)]) == [str(first), str(ahead)]


@pytest.mark.parametrize(
    ("ms", "says"),
    [
        (-5, "0 s"), (0, "0 s"), (3_210, "3.2 s"), (59_000, "59 s"), (59_949, "59.9 s"), (59_950, "1 min"),
        (60_000, "1 min"), (245_000, "4 min 5 s"), (3_599_700, "1 h"), (3_661_000, "1 h 1 min"),
        (10_799_000, "2 h 59 min"), (90_061_000, "1 d 1 h"), (1_100 * 86_400_000, "1100 d"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_its_two_largest_units(ms: int, says: str) -> None:
    assert span(ms) == says


def test_a_clock_that_is_apart_is_told_as_it_is_or_as_it_was_when_last_heard_of() -> None:
    assert apart_text("b", 95_040_000_000) == "The clock of b is 1100 d ahead of ours."
    last = "when last heard of, at 2026-01-01 00:00:00 UTC."
    assert apart_text("b", -10_799_000, 1_767_225_600_000) == f"The clock of b was 2 h 59 min behind ours {last}"
    assert when(-1) == "a time that cannot be shown"
