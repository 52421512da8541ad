"""Callers who never show who they are: whatever they do, the gateway stays up, small and quiet, and lets others in."""

from __future__ import annotations

import itertools
import random
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psutil
import pytest

from gateway.transfer.connection_caps import Caps
from gateway.transfer.front import Front
from gateway.wire import TransferStub, transfer
from party.home import PartyHome
from party.home_init import create_home
from party.trust import trust, untrust
from runtime.addresses import HostPort, free_port
from runtime.service import raise_descriptor_limit
from tests.fakes.gateway_parties import GatewayProcess, make_homes
from tests.fakes.hellos import HALF_HELLO, whole_hello

MAX_GROWTH_BYTES = 100 << 20
MAX_LOG_BYTES = 64 << 10

Attack = Callable[["Target"], None]


class Target:
    """A gateway under attack; how many connections an attack makes, and how often."""

    def __init__(self, home: PartyHome, friend: PartyHome, size: int, turns: int) -> None:
        self.home = home
        self.friend = friend
        self.size = size
        self.turns = turns
        self.gateway = GatewayProcess(home).start()
        host, _, port = home.settings.gateway.listen.rpartition(":")
        self.address = (host, int(port))
        self.at_peak = threading.Event()

    @property
    def memory_bytes(self) -> int:
        assert self.gateway.process is not None
        return psutil.Process(self.gateway.process.pid).memory_full_info().uss

    def caller(self, data: bytes) -> socket.socket:
        made = socket.create_connection(self.address, 30)
        with suppress(OSError):  # closed already: others came
            made.sendall(data)
        return made

    def hello(self) -> int:
        """An honest peer that comes for the first time, with a connection of its own."""
        keys = self.friend.keys
        credentials = grpc.ssl_channel_credentials(
            self.home.card.tls_certificate.encode(), keys.tls_key_pem, keys.tls_cert_pem
        )
        options = [("grpc.ssl_target_name_override", str(self.home.party)), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(f"{self.address[0]}:{self.address[1]}", credentials, options=options) as channel:
            stub = TransferStub(channel)
            for _ in range(20):  # as a link does: pushed out once, it comes again
                with suppress(grpc.RpcError):
                    greeting = transfer.Greeting(protocol=1, minimum=1)
                    return int(stub.Hello(greeting, timeout=60, wait_for_ready=True).protocol)
        raise AssertionError("an honest peer did not come in")


def in_turns(target: Target, make: Callable[[], socket.socket]) -> None:
    """All of a turn are open together when `at_peak` is said, then they are closed at once."""
    for _ in range(target.turns):
        callers = [make() for _ in range(target.size)]
        target.at_peak.set()
        for caller in callers:
            caller.close()


def half_a_hello(target: Target) -> None:
    in_turns(target, lambda: target.caller(HALF_HELLO))


def a_whole_hello_and_no_more(target: Target) -> None:
    data = whole_hello()
    in_turns(target, lambda: target.caller(data))


def idle(target: Target) -> None:
    in_turns(target, lambda: target.caller(b""))


def garbage(target: Target) -> None:
    bytes_of = random.Random(1)
    beginnings = itertools.cycle(
        [b"", b"\x16\x03\x01", HALF_HELLO[:9], b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\n", whole_hello()]
    )
    in_turns(target, lambda: target.caller(next(beginnings) + bytes_of.randbytes(2000)))


def byte_by_byte(target: Target) -> None:
    """Slow callers: each sends the beginning of a hello one byte at a time."""
    callers = [target.caller(b"") for _ in range(target.size)]
    for at in range(len(HALF_HELLO)):
        for caller in callers:
            with suppress(OSError):
                caller.sendall(HALF_HELLO[at : at + 1])
        target.at_peak.set()
    for caller in callers:
        caller.close()


ATTACKS = [half_a_hello, a_whole_hello_and_no_more, idle, garbage, byte_by_byte]


@contextmanager
def target(folder: Path, size: int, turns: int) -> Iterator[Target]:
    raise_descriptor_limit()
    homes = make_homes(folder, ("alpha", "beta"))
    made = Target(homes["beta"], homes["alpha"], size, turns)
    yield made
    made.gateway.stop()


def under(attack: Attack, victim: Target) -> None:
    """Run the attack and have an honest peer come in again and again meanwhile."""
    victim.at_peak.clear()
    attacking = threading.Thread(target=attack, args=(victim,))
    attacking.start()
    assert victim.at_peak.wait(120)
    came = 0
    while attacking.is_alive() or not came:
        assert victim.hello() == 1
        came += 1
    attacking.join()


def survives(victim: Target, attacks: list[Attack]) -> None:
    assert victim.hello() == 1
    assert victim.gateway.process is not None
    before, pid = victim.memory_bytes, victim.gateway.process.pid
    for attack in attacks:
        under(attack, victim)
    assert victim.hello() == 1
    assert victim.gateway.process.is_alive()
    assert victim.gateway.admin().health().pid == pid
    assert victim.memory_bytes - before < MAX_GROWTH_BYTES
    assert len(victim.gateway.log()) < MAX_LOG_BYTES


def test_a_flood_of_callers_who_show_nothing_is_survived_and_an_honest_peer_comes_in(tmp_path: Path) -> None:
    with target(tmp_path, size=300, turns=2) as victim:
        survives(victim, ATTACKS)


LARGE = [
    (half_a_hello, 1000, 5),
    (a_whole_hello_and_no_more, 1000, 5),
    (garbage, 1000, 5),
    (byte_by_byte, 1000, 1),
    (idle, 5000, 1),
]


@pytest.mark.soak
@pytest.mark.parametrize(("attack", "size", "turns"), LARGE)
def test_a_large_flood_is_survived(tmp_path: Path, attack: Attack, size: int, turns: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < size + 1000:
        pytest.skip("this host allows too few descriptors")
    with target(tmp_path, size, turns) as victim:
        survives(victim, [attack])


def test_new_cards_in_the_middle_of_a_flood_are_taken_up(tmp_path: Path) -> None:
    other = create_home(tmp_path / "gamma", "gamma").root / "card.json"
    with target(tmp_path, size=60, turns=10) as victim:
        data = whole_hello()

        def reloaded(attacked: Target) -> None:
            for turn in range(attacked.turns):
                callers = [attacked.caller(data) for _ in range(attacked.size)]
                if turn % 2:
                    untrust(attacked.home, "gamma")
                else:
                    trust(attacked.home, other)
                attacked.gateway.admin().reload()
                attacked.at_peak.set()
                for caller in callers:
                    caller.close()

        survives(victim, [reloaded])


def test_a_door_without_descriptors_waits_quietly_and_opens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    behind = socket.socket(socket.AF_UNIX)
    behind.bind(str(tmp_path / "inner"))
    behind.listen()
    address = HostPort("127.0.0.1", free_port())
    front = Front(address, tmp_path / "inner", Caps.within(1024), lambda *_: None)
    tries = 0
    real = front._listener

    class Exhausted:
        """A listener in a process that has no descriptor left, for the first tries."""

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(24, "Too many open files")
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(front, "_listener", Exhausted())
    front.start()
    try:
        with socket.create_connection(address, 30) as caller:
            caller.sendall(whole_hello())
            inner, _ = behind.accept()
            assert inner.recv(4) == b"\x16\x03\x01\x02"
            inner.close()
        assert tries <= 5
        assert len(caplog.records) <= 2
    finally:
        front.stop()
        behind.close()
