"""The verbs of a channel, and what it tells of arrivals: who is in is decided once, and told again after a restart."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from algorithms.api.channel import Channel
from algorithms.local_run import LocalMemory
from gateway.client import LocalExchange
from party.ids import Address
from tests.fakes.virtual_exchange import VirtualExchange

ARBITER = Address.parse("arbiter:z")
A, B, C = TRAINERS = tuple(Address.parse(f"host:{name}") for name in "abc")


def channel(exchange: LocalExchange, memory: LocalMemory | None = None) -> Channel:
    return Channel(exchange.wire(ARBITER), memory or LocalMemory(), exchange.clock)


def update(exchange: LocalExchange, frm: Address, value: float, step: int = 0) -> None:
    exchange.wire(frm).send(ARBITER, "update", (step,), value)


def gathering(pool: ThreadPoolExecutor, side: Channel) -> Future[dict[Address, object]]:
    return pool.submit(lambda: side.gather(TRAINERS, "update", 0, at_least=2, within_s=60.0))  # type: ignore[arg-type]


def test_all_are_in_when_all_come_in_time() -> None:
    exchange = VirtualExchange()
    for trainer in (C, A, B):
        update(exchange, trainer, 1.0)
    assert list(channel(exchange).gather(TRAINERS, "update", 0, at_least=1, within_s=60)) == [A, B, C]


def test_who_is_late_is_out_and_stays_out() -> None:
    exchange, memory = VirtualExchange(), LocalMemory()
    side = channel(exchange, memory)
    update(exchange, C, 3.0)
    with ThreadPoolExecutor(1) as pool:
        told = gathering(pool, side)
        exchange.advance(59.0)
        update(exchange, A, 1.0)
        exchange.advance(0.5)
        assert not told.done()
        exchange.advance(0.5)
        assert told.result(30) == {A: 1.0, C: 3.0}
    update(exchange, B, 2.0)
    for same in (side, channel(exchange, memory)):  # and a restarted executor is told the same
        assert same.members(TRAINERS, "update", 0, at_least=3, within_s=0) == [A, C]
    assert channel(exchange).members(TRAINERS, "update", 0, at_least=2, within_s=0) == [A, B, C]


def test_fewer_than_are_enough_are_waited_for_as_long_as_it_takes() -> None:
    exchange = VirtualExchange()
    update(exchange, B, 2.0)
    with ThreadPoolExecutor(1) as pool:
        told = gathering(pool, channel(exchange))
        exchange.advance(100.0)
        exchange.advance(100.0)
        assert not told.done()
        update(exchange, C, 3.0)
        assert told.result(30) == {B: 2.0, C: 3.0}


def test_those_that_are_there_are_enough_where_nobody_is_waited_for() -> None:
    exchange = VirtualExchange()
    update(exchange, B, 2.0)
    assert channel(exchange).gather(TRAINERS, "update", (0,), at_least=1, within_s=0) == {B: 2.0}


def test_the_first_of_several_stays_the_first() -> None:
    exchange, memory = VirtualExchange(), LocalMemory()
    update(exchange, B, 2.0)
    assert channel(exchange, memory).recv_any(TRAINERS, "update", 0) == (B, 2.0)
    update(exchange, A, 1.0)
    assert channel(exchange, memory).recv_any(TRAINERS, "update", 0) == (B, 2.0)
    assert channel(exchange).recv_any(TRAINERS, "update", 0) == (A, 1.0)


def test_what_was_seen_under_a_name_is_seen_again() -> None:
    exchange, memory = VirtualExchange(), LocalMemory()
    keys = {(trainer, "update", (step,)) for trainer in TRAINERS for step in range(2)}
    update(exchange, B, 2.0, step=1)
    side = channel(exchange, memory)
    assert side.wait_any("1", keys) == {(B, "update", (1,))}
    update(exchange, A, 1.0)
    assert side.wait_any("1", keys) == channel(exchange, memory).wait_any("1", keys) == {(B, "update", (1,))}
    assert side.arrived("2", keys) == {(A, "update", (0,)), (B, "update", (1,))}
    assert side.wait_any("none", set()) == set()
    with pytest.raises(ValueError, match="asked before, about other messages"):
        side.arrived("1", {(A, "update", (0,))})


def test_a_wait_that_ends_by_time_has_seen_nothing() -> None:
    exchange = VirtualExchange()
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(channel(exchange).wait_any, "1", {(A, "update", (0,))}, 5.0)
        exchange.advance(4.0)
        exchange.advance(1.0)
        assert told.result(30) == set()


@pytest.mark.parametrize("wrong", [{"at_least": 0}, {"at_least": 4}, {"at_least": None}, {"within_s": None}])
def test_what_can_not_be_meant_is_refused(wrong: dict[str, int | None]) -> None:
    with pytest.raises(ValueError, match="at_least"):
        channel(VirtualExchange()).gather(TRAINERS, "update", 0, **({"at_least": 2, "within_s": 1.0} | wrong))  # type: ignore[call-overload]


def test_the_verbs_of_a_channel() -> None:
    exchange = LocalExchange()
    guest, host, arbiter = (Channel(exchange.wire(a), LocalMemory()) for a in (A, B, ARBITER))
    arbiter.broadcast([B, A], "model", 0, 7)
    assert guest.recv(ARBITER, "model", 0) == host.recv(ARBITER, "model", (0,)) == 7
    host.send_many(ARBITER, "many", {(1, 1): 1.5, (1, 2): 2.5})
    assert arbiter.recv(B, "many", (1, 2)) == 2.5
    host.send(ARBITER, "up", 3, "h")
    assert arbiter.recv_any([A, B], "up", 3) == (B, "h")
    guest.send(ARBITER, "up", 3, "g")
    assert arbiter.gather([B, A], "up", 3) == ["g", "h"]
