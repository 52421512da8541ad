"""How often and how many at a time a party is told that a job is over, if it does not confirm it."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any, cast

import pytest

from flow.coordinator.actions import Actions
from flow.coordinator.plan import End
from flow.pauses import Pauses
from gateway.client import PeerUnreachable
from runtime.errors import PlatformError

JOBS = tuple(f"01M84NKVCS9025W7T6P1XBY3P{n}" for n in range(3))


class Absent:
    """Who is absent, in memory."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = set(pairs)

    def has(self, job: str, party: str) -> bool:
        return (job, party) in self.pairs

    def note(self, job: str, party: str, _error: PlatformError) -> None:
        self.pairs.add((job, party))


class Silent:
    """A party that holds each call until it is let go, and then does not answer."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.holds, self.go = Event(), Event()

    def end(self, action: End) -> None:
        self.called.append(action.job)
        self.holds.set()
        self.go.wait(60)
        raise PeerUnreachable("b does not answer.")


def made(silent: Silent, absent: Absent, monkeypatch: pytest.MonkeyPatch) -> Actions:
    nothing = cast(Any, None)
    monkeypatch.setattr(Actions, "_wanted", lambda *_: True)
    return Actions(nothing, nothing, cast(Any, absent), cast(Any, silent), nothing, Pauses())


def test_a_party_is_told_of_the_end_for_ever_with_pauses_that_grow_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Silent()
    silent.go.set()
    actions = made(silent, Absent(), monkeypatch)
    pauses = [actions.run(End(JOBS[0], "b"), lambda _: None) or 0.0 for _ in range(2_000)]
    assert len(silent.called) == 2_000
    assert 0 < pauses[0] < 1
    assert all(Pauses().last_end_s / 2 <= pause <= Pauses().last_end_s for pause in pauses[20:])


def test_a_party_that_takes_calls_and_never_answers_holds_one_thread_for_all_its_ended_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent, done = Silent(), cast(Any, lambda _: None)
    actions = made(silent, Absent(*((job, "b") for job in JOBS)), monkeypatch)
    first = Thread(target=actions.run, args=(End(JOBS[0], "b"), done))
    first.start()
    assert silent.holds.wait(60)
    for job in JOBS[1:]:
        assert actions.run(End(job, "b"), done)
    assert silent.called == [JOBS[0]]
    silent.go.set()
    first.join(60)
    assert actions.run(End(JOBS[1], "b"), done)
    assert silent.called == list(JOBS[:2])
