"""Every way between executors keeps the promises of `api.channel.Wire`, in one process and across parties."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from algorithms.api.channel import Channel
from algorithms.local_run import LocalMemory
from gateway.client import LocalExchange
from storage.client import Ciphertexts, UnsupportedValue
from tests.fakes.gateway_parties import GUEST, HOST, Pair, line, make_contract

KINDS = ("float", "int", "text", "bytes", "bool", "none", "array", "ciphertexts", "table", "record")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("wires"))
    yield made
    made.stop()


@pytest.fixture(params=["local", "gateways"])
def ends(request: pytest.FixtureRequest) -> tuple[Channel, Channel]:
    if request.param == "local":
        exchange = LocalExchange()
        return Channel(exchange.wire(GUEST), LocalMemory()), Channel(exchange.wire(HOST), LocalMemory())
    pair: Pair = request.getfixturevalue("pair")
    contract = pair.open(make_contract(lines=tuple(line(kind, kind) for kind in KINDS)))
    guest, host = pair.wires(contract)
    return Channel(guest, LocalMemory()), Channel(host, LocalMemory())


VALUES: dict[str, Any] = {
    "float": 0.1,
    "int": -(2**63),
    "text": "ä",
    "bytes": b"\x00\xff",
    "bool": True,
    "none": None,
    "array": np.arange(6, dtype=np.int32).reshape(2, 3),
    "ciphertexts": Ciphertexts("ab" * 32, "{}", 1, pa.array([b"12345678"], pa.binary(8))),
    "table": pa.table({"a": [1, 2]}),
    "record": {"a": 1, "b": "x"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_value_arrives_as_it_was_sent(ends: tuple[Channel, Channel], kind: str) -> None:
    guest, host = ends
    guest.send(HOST, kind, 0, VALUES[kind])
    got = host.recv(GUEST, kind, 0)
    assert np.array_equal(got, VALUES[kind]) if kind == "array" else got == VALUES[kind]


def test_the_first_write_wins_and_may_be_read_again(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    guest.send(HOST, "float", (1, 2), 1.0)
    guest.send(HOST, "float", (1, 2), 2.0)
    assert [host.recv(GUEST, "float", (1, 2)) for _ in range(2)] == [1.0, 1.0]


def test_both_ways_and_to_oneself(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    guest.broadcast([HOST, GUEST], "int", 0, 7)
    host.broadcast([HOST, GUEST], "int", 0, 8)
    assert guest.gather([HOST, GUEST], "int", 0) == [7, 8]
    assert host.gather([HOST, GUEST], "int", 0) == [7, 8]


def test_many_in_one_and_any_of_several(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    guest.send_many(HOST, "int", {(0, n): n for n in range(20)})
    assert [host.recv(GUEST, "int", (0, n)) for n in reversed(range(20))] == list(reversed(range(20)))
    assert host.recv_any([HOST, GUEST], "int", (0, 3)) == (GUEST, 3)


def test_what_is_no_value_is_refused_and_its_key_stays_free(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    with pytest.raises(UnsupportedValue):
        guest.send(HOST, "record", 0, {"a": object()})  # type: ignore[dict-item]
    guest.send(HOST, "record", 0, {"a": 1})
    assert host.recv(GUEST, "record", 0) == {"a": 1}


def test_a_wait_is_woken_by_the_arrival(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(host.recv(GUEST, "text", 9)))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    guest.send(HOST, "text", 9, "here")
    waiting.join(10)
    assert got == ["here"]


def test_what_has_arrived_is_told_at_once_and_waited_for(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    early, late, own = (GUEST, "int", (7, 0)), (GUEST, "int", (7, 1)), (HOST, "int", (7, 0))
    assert host.arrived("before", {early, late}) == set()
    assert host.wait_any("in time", {early, late}, 0.01) == set()
    guest.send(HOST, "int", early[2], 1)
    assert host.wait_any("one", {early, late, own}) == {early}
    told: list[object] = []
    waiting = threading.Thread(target=lambda: told.append(host.wait_any("two", {late, own})))
    waiting.start()
    host.send(HOST, "int", own[2], 2)
    waiting.join(30)
    assert told == [{own}]
    assert host.arrived("after", {early, late, own}) == {early, own}


def test_who_is_in_is_decided_once(ends: tuple[Channel, Channel]) -> None:
    guest, host = ends
    guest.send(HOST, "float", (8,), 0.5)
    assert host.gather([HOST, GUEST], "float", 8, at_least=1, within_s=0.2) == {GUEST: 0.5}
    host.send(HOST, "float", (8,), 1.5)
    assert host.gather([HOST, GUEST], "float", 8, at_least=2, within_s=0) == {GUEST: 0.5}
