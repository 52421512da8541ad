"""A pool of which nobody takes more than a share."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event

import pytest

from runtime.limits.shares import SharedPool

THREADS, MOST = 4, 2
PATIENCE_S = 10.0


def test_who_is_slow_leaves_threads_to_others_and_has_all_its_work_done() -> None:
    pool = SharedPool(THREADS, MOST, "test")
    began: SimpleQueue[str] = SimpleQueue()
    gate = Event()

    def slow(number: int) -> None:
        began.put(f"slow {number}")
        gate.wait(PATIENCE_S)

    for number in range(6):
        pool.submit("slow", lambda number=number: slow(number))
    assert {began.get(timeout=PATIENCE_S) for _ in range(MOST)} == {"slow 0", "slow 1"}
    pool.submit("quick", lambda: began.put("quick"))
    assert began.get(timeout=PATIENCE_S) == "quick"
    pool.submit(None, lambda: began.put("nobody's"))
    assert began.get(timeout=PATIENCE_S) == "nobody's"
    gate.set()
    assert {began.get(timeout=PATIENCE_S) for _ in range(4)} == {f"slow {number}" for number in range(2, 6)}
    pool.shutdown(wait=True)
    assert not pool._running
    assert not pool._lines


def test_work_that_fails_gives_its_place_to_the_next() -> None:
    pool = SharedPool(THREADS, 1, "test")
    done = Event()
    pool.submit("a", lambda: 1 / 0)
    pool.submit("a", done.set)
    assert done.wait(PATIENCE_S)
    pool.shutdown(wait=True)


def test_what_waits_at_the_end_is_forgotten() -> None:
    pool = SharedPool(1, 1, "test")
    began, gate, ran = Event(), Event(), Event()

    def first() -> None:
        began.set()
        gate.wait(PATIENCE_S)

    pool.submit("a", first)
    pool.submit("a", ran.set)
    assert began.wait(PATIENCE_S)
    pool.shutdown(wait=False)
    gate.set()
    pool.shutdown(wait=True)
    assert not ran.is_set()
    with pytest.raises(RuntimeError):
        pool.submit("b", ran.set)
