from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Queue

import pytest

from flow.scheduler import Scheduler
from runtime.errors import Unavailable


@dataclass(frozen=True)
class Work:
    name: str
    party: str | None = None


class Bench:
    def __init__(self) -> None:
        self.ran: Queue[str] = Queue()
        self.answers: dict[str, list[float | Exception | None]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.scheduler = Scheduler(workers=3, first_retry_s=0.01)

    def run(self, work: Work) -> float | None:
        self.ran.put(work.name)
        self.gate.wait(5)
        answer = self.answers.get(work.name, [])
        said = answer.pop(0) if answer else None
        if isinstance(said, Exception):
            raise said
        return said

    def next(self) -> str:
        return self.ran.get(timeout=5)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.scheduler.start({Work: made.run})
    yield made
    made.gate.set()
    made.scheduler.close()


def test_work_runs_when_it_is_poked_and_again_when_it_asks(bench: Bench) -> None:
    bench.answers["a"] = [0.01, None]
    bench.scheduler.poke(Work("a"))
    assert [bench.next(), bench.next()] == ["a", "a"]


def test_work_that_fails_for_days_is_tried_again_as_often(bench: Bench) -> None:
    bench.scheduler._failures[Work("a")] = 5_000
    bench.answers["a"] = [Unavailable("The database is away.")]
    bench.scheduler.poke(Work("a"))
    assert bench.next() == "a"
    bench.scheduler.poke(Work("a"))
    assert bench.next() == "a"


def test_work_poked_while_it_runs_runs_once_more(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.poke(Work("a"))
    assert bench.next() == "a"
    for _ in range(5):
        bench.scheduler.poke(Work("a"))
    assert bench.ran.empty()
    bench.gate.set()
    assert bench.next() == "a"
    bench.scheduler.poke(Work("b"))
    assert bench.next() == "b"


def test_offered_work_is_not_repeated_if_it_finished_since(bench: Bench) -> None:
    before = bench.scheduler.mark()
    bench.scheduler.offer(Work("a"), before)
    assert bench.next() == "a"
    deadline = time.monotonic() + 5
    while Work("a") not in bench.scheduler._finished and time.monotonic() < deadline:
        time.sleep(0.001)
    bench.scheduler.offer(Work("a"), before)
    bench.scheduler.offer(Work("b"), before)
    assert bench.next() == "b"
    bench.scheduler.offer(Work("a"), bench.scheduler.mark())
    assert bench.next() == "a"


def test_late_work_can_be_hurried_and_brought_forward(bench: Bench) -> None:
    bench.scheduler.poke(Work("a"), 60)
    bench.scheduler.poke(Work("b"), 60)
    bench.scheduler.hurry(lambda key: key == Work("b"))
    assert bench.next() == "b"
    bench.scheduler.poke(Work("a"), 0.01)
    assert bench.next() == "a"


def test_the_first_few_in_an_order_are_hurried_whether_they_wait_or_run(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.poke(Work("b"))
    assert bench.next() == "b"
    for name in "dac":
        bench.scheduler.poke(Work(name), 60)
    bench.scheduler.hurry_first(lambda key: key != Work("a"), lambda key: key.name, 2)
    assert bench.next() == "c"
    bench.gate.set()
    assert bench.next() == "b"
    assert bench.ran.empty()


def test_work_that_fails_is_tried_again_and_stops_nobody(bench: Bench) -> None:
    bench.answers["a"] = [Unavailable("away"), RuntimeError("broken"), None]
    bench.scheduler.poke(Work("a"))
    assert [bench.next() for _ in range(3)] == ["a", "a", "a"]
    bench.scheduler.poke(Work("b"))
    assert bench.next() == "b"


def test_a_party_that_is_slow_leaves_threads_to_others(bench: Bench) -> None:
    bench.gate.clear()
    for name in ("slow", "slow too"):
        bench.scheduler.poke(Work(name, "slow"))
    assert bench.next() == "slow"
    bench.scheduler.poke(Work("other", "other"))
    bench.scheduler.poke(Work("nobody's"))
    assert {bench.next(), bench.next()} == {"other", "nobody's"}
    bench.gate.set()
    assert bench.next() == "slow too"


def test_nothing_runs_after_close() -> None:
    bench = Bench()
    bench.scheduler.start({Work: bench.run})
    bench.scheduler.poke(Work("a"), 0.05)
    bench.scheduler.close()
    bench.scheduler.poke(Work("b"))
    assert bench.ran.empty()
