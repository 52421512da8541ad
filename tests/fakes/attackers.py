"""What a stranger or a hostile peer does to a party's gateway, each as a process of its own.

`python -m tests.fakes.attackers NAME HOST PORT COUNT`, or `NAME HOME VICTIM COUNT` for a peer that is trusted. Only
against a party of the test's own on loopback. An attacker prints a line when it is at full strength, goes on, and ends
when its standard input is closed.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc

from gateway.client import GatewayAdmin
from gateway.link import Link
from gateway.peers import PeerBook
from gateway.wire import transfer
from party.errors import PlatformError
from party.home import PartyHome
from party.ids import new_job_id

HALF_HELLO = bytes.fromhex("160301020001000001fc0303") + b"x" * 8
_over = threading.Event()


def half_open(host: str, port: int, count: int) -> None:
    """Handshakes that begin and are cut off, wave after wave."""
    waves = 0
    while not _over.is_set():
        opened = list(_connections(host, port, count, HALF_HELLO))
        _over.wait(0.5)
        for each in opened:
            each.close()
        waves += 1
        if waves == 2:
            _at_full_strength()


def idle(host: str, port: int, count: int) -> None:
    """Connections that are opened and say nothing; those that are closed are opened again."""
    held = list(_connections(host, port, count, b""))
    _at_full_strength()
    while not _over.wait(1.0):
        open_ones = [each for each in held if not _is_closed(each)]
        held = open_ones + list(_connections(host, port, count - len(open_ones), b""))


def garbage(host: str, port: int, count: int) -> None:
    """Bytes that are no TLS."""
    waves = 0
    while not _over.is_set():
        for each in list(_connections(host, port, count, b"GET / HTTP/1.1\r\n\r\n" * 60)):
            each.close()
        waves += 1
        if waves == 2:
            _at_full_strength()


def hanging_streams(root: str, victim: str, count: int) -> None:
    """A trusted peer's streams that begin and never go on."""
    stub = Link(PeerBook(PartyHome(Path(root))), victim)._transfer()

    def never() -> Iterator[transfer.Chunk]:
        yield transfer.Chunk(header=b"{}", signature=b"x" * 64)
        _over.wait()

    while not _over.is_set():
        calls = [stub.Deliver.future(never()) for _ in range(count)]
        _at_full_strength()
        _over.wait(2.0)
        for call in calls:
            call.cancel()


def empty_envelopes(root: str, victim: str, count: int) -> None:
    """A trusted peer's calls full of envelopes that hold nothing."""
    stub = Link(PeerBook(PartyHome(Path(root))), victim)._transfer()
    message = transfer.Envelopes(envelopes=[transfer.Envelope() for _ in range(count)])
    while not _over.is_set():
        with suppress(grpc.RpcError):
            stub.Put(message, timeout=2.0)
        _at_full_strength()


def proposals(root: str, victim: str, count: int) -> None:
    """A trusted peer's proposals, every number and text of them at its limits."""
    admin = GatewayAdmin(PartyHome(Path(root)).socket("gateway-admin"))
    me = PartyHome(Path(root)).party
    numbers = ["100000000000000000", "-1", "1e400", "NaN", str(10**30), "true", '"5"', "null", str(-(2**63))]
    texts = ["\x1b]0;owned\x07", "\u202egnp.exe", "x" * 1_000_000, "", "\x00", "a\nb"]
    sent = 0
    while not _over.is_set():
        number, text = numbers[sent % len(numbers)], texts[sent % len(texts)]
        spec = {"schema": 1, "name": text, "initiator": me, "roles": {"guest": [me], "host": [victim]}, "tasks": {}}
        fields = {"job": new_job_id(), "initiator": me, "user": text, "spec": spec, "spec_digest": "0" * 64}
        body = json.dumps(fields | {"seed": "0" * 64, "code": {}, "submitted_ms": "@"}).replace('"@"', number)
        message = f'{{"schema":1,"hlc":"{number}.0","body":{body}}}'
        with suppress(PlatformError):
            admin.call(victim, "propose", message.encode(), 5.0)
        sent += 1
        if sent == count:
            _at_full_strength()


ATTACKS: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (half_open, idle, garbage, hanging_streams, empty_envelopes, proposals)
}
_said = threading.Event()


def _at_full_strength() -> None:
    if not _said.is_set():
        _said.set()
        sys.stdout.write("at full strength\n")
        sys.stdout.flush()


def _connections(host: str, port: int, count: int, first: bytes) -> Iterator[socket.socket]:
    for _ in range(count):
        if _over.is_set():
            return
        with suppress(OSError):  # turned away, or out of ports: the next
            each = socket.create_connection((host, port), 3)
            each.sendall(first)
            yield each


def _is_closed(each: socket.socket) -> bool:
    each.setblocking(False)
    try:
        return each.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _until_told() -> None:
    sys.stdin.read()
    _over.set()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name, where, whom, strength = sys.argv[1:5]
    threading.Thread(target=_until_told, daemon=True).start()
    target = int(whom) if whom.isdigit() else whom
    ATTACKS[name](where, target, int(strength))
