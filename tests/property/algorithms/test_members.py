"""An executor that is killed at any instant never contradicts what it has sent because of who was in."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.channel import Channel, Incoming, Step
from gateway.client import LocalExchange
from party.ids import Address
from storage.client import Journal, Value
from tests.fixtures.algorithms import Killed

ARBITER = Address.parse("arbiter:z")
TRAINERS = tuple(Address.parse(f"host:{name}") for name in "abcd")
ROUNDS = 3
MESSAGES = [(trainer, step) for step in range(ROUNDS) for trainer in TRAINERS]


class Life:
    """The exchange, what is still under way, and when the executor dies: shared by all its incarnations."""

    def __init__(self, order: list[tuple[Address, int]], pace: list[int], deaths: list[int]) -> None:
        self.exchange = LocalExchange()
        self.under_way = iter(order)
        self.pace = iter(pace)
        self.deaths = iter(deaths)
        self.left = next(self.deaths)
        self.sent: dict[Step, set[float]] = defaultdict(set)

    def act(self) -> None:
        """Time passes: some messages arrive, and perhaps the executor is killed."""
        for _ in range(next(self.pace, 0)):
            self.arrive()
        self.left -= 1
        if self.left == 0:
            self.left = next(self.deaths, 0)
            raise Killed

    def arrive(self) -> bool:
        for trainer, step in self.under_way:
            value = float(2 ** TRAINERS.index(trainer))  # so that a sum tells its members
            self.exchange.wire(trainer).send(ARBITER, "update", (step,), value)
            return True
        return False


class MortalWire:
    """The arbiter's side of it."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._inner = life.exchange.wire(ARBITER)

    def send(self, to: Address, tag: str, step: Step, value: Any) -> None:
        self._life.act()
        self._life.sent[step].add(value)
        self._inner.send(to, tag, step, value)
        self._life.act()

    def recv(self, frm: Address, tag: str, step: Step) -> Value:
        self._life.act()
        return self._inner.recv(frm, tag, step)

    def arrived(self, keys: Collection[Incoming]) -> set[Incoming]:
        self._life.act()
        return self._inner.arrived(keys)

    def wait_any(self, keys: Collection[Incoming], timeout_s: float | None) -> set[Incoming]:
        self._life.act()
        while not (here := self._inner.arrived(keys)):
            assert self._life.arrive()
        return here


def arbitrate(channel: Channel, at_least: int) -> None:
    for step in range(ROUNDS):
        updates = channel.gather(TRAINERS, "update", step, at_least=at_least, within_s=0.0)
        channel.broadcast(TRAINERS, "sum", step, sum(updates.values()))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(MESSAGES),
    pace=st.lists(st.integers(0, 3), max_size=20),
    deaths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    at_least=st.integers(1, len(TRAINERS)),
)
def test_a_restarted_executor_sends_the_sum_of_the_same_members(
    order: list[tuple[Address, int]], pace: list[int], deaths: list[int], at_least: int
) -> None:
    life = Life(order, pace, deaths)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(len(deaths) + 1):
            channel = Channel(MortalWire(life), Journal(Path(folder) / "journal", bytes(32)))  # type: ignore[arg-type]
            try:
                arbitrate(channel, at_least)
            except Killed:
                continue
    for step, values in life.sent.items():
        assert len(values) == 1, f"round {step} had the sums {values}"
        assert bin(int(min(values))).count("1") >= at_least
    assert len(life.sent) == ROUNDS
