"""What a stranger or a hostile peer does to a party's gateway, each as a process of its own.

`python -m tests.fakes.attackers NAME HOST PORT COUNT`, or `NAME HOME VICTIM COUNT` for a peer that is trusted. Only
against a party of the test's own on loopback. An attacker prints a line when it is at full strength, goes on, and ends
when its standard input is closed.
"""

from __future__ import annotations

import random
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc

from algorithms.registry import component
from gateway.client import GatewayAdmin
from gateway.errors import BadEnvelope, CallTooLarge, PeerUnreachable, TooMuchAtOnce
from gateway.peers import PeerBook
from gateway.transfer.link import Link
from gateway.transfer.transfer_servicer import PUT_ENVELOPES
from gateway.wire import transfer
from party.home import PartyHome
from party.ids import new_job_id
from runtime.errors import PlatformError
from runtime.rpc import rpc_error
from tests.fakes.hellos import HALF_HELLO
from tests.fakes.hostile import VALUES, message, places, proposal, spoiled

_over = threading.Event()


def half_open(host: str, port: int, count: int) -> None:
    """Handshakes that begin and are cut off, wave after wave."""
    while not _over.is_set():
        opened = list(_connections(host, port, count, HALF_HELLO))
        _over.wait(0.5)
        for each in opened:
            each.close()
        _landed(2 * count, len(opened))


def idle(host: str, port: int, count: int) -> None:
    """Connections that are opened and say nothing; those that are closed are opened again."""
    held: list[socket.socket] = []
    while not _over.is_set():
        held = [each for each in held if not _is_closed(each)]
        opened = list(_connections(host, port, count - len(held), b""))
        held += opened
        _landed(count, len(opened))
        _over.wait(1.0)


def garbage(host: str, port: int, count: int) -> None:
    """Bytes that are no TLS."""
    while not _over.is_set():
        opened = list(_connections(host, port, count, b"GET / HTTP/1.1\r\n\r\n" * 60))
        for each in opened:
            each.close()
        _landed(2 * count, len(opened))


def hanging_streams(root: str, victim: str, count: int) -> None:
    """A trusted peer's streams that never bring a message; what counts are those that the victim turned away."""
    stub = Link(PeerBook(PartyHome(Path(root))), victim)._transfer()

    def never() -> Iterator[transfer.Chunk]:
        _over.wait()
        yield from ()

    while not _over.is_set():
        calls = [stub.Deliver.future(never()) for _ in range(count)]
        _over.wait(2.0)
        _landed(count // 2, sum(each.done() and _code(each) == TooMuchAtOnce.code for each in calls))
        for call in calls:
            call.cancel()


def empty_envelopes(root: str, victim: str, count: int) -> None:
    """A trusted peer's calls with envelopes that hold nothing: one with as many as fit, one with as many as may be."""
    stub = Link(PeerBook(PartyHome(Path(root))), victim)._transfer()
    too_many, just_so_many = (transfer.Envelopes(envelopes=[transfer.Envelope()] * n) for n in (count, PUT_ENVELOPES))
    while not _over.is_set():
        try:
            stub.Put(too_many, timeout=10.0)
        except grpc.RpcError as error:
            _landed(2 * count, count if _code(error) == BadEnvelope.code else 0)
        with suppress(grpc.RpcError):
            _landed(2 * count, len(stub.Put(just_so_many, timeout=10.0).receipts))


def proposals(root: str, victim: str, count: int) -> None:
    """A trusted peer's proposals, each right but for one value; every one must be answered by the victim's Flow."""
    home = PartyHome(Path(root))
    admin = GatewayAdmin(home.socket("gateway-admin"))
    idle_job = {
        "schema": 1, "name": "siege", "initiator": home.party, "roles": {"guest": [home.party], "host": [victim]},
        "tasks": {"greet": {"component": "noop@1"}},
    }  # fmt: skip
    code = {"noop@1": component("noop@1").code_digest}
    draw = random.Random(1)
    while not _over.is_set():
        right = proposal(new_job_id(), idle_job, code)
        wrong = spoiled(right, draw.choice(list(places(right))), draw.choice(VALUES))
        try:
            admin.call(victim, "propose", message(wrong), 30.0)
        except CallTooLarge:  # our own gateway sends no such thing
            continue
        except PlatformError as refusal:
            if not refusal.code.startswith(("flow.", "party.", "runtime.")):
                raise
        _landed(count)


ATTACKS: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (half_open, idle, garbage, hanging_streams, empty_envelopes, proposals)
}
_count = 0


def _landed(enough: int, now: int = 1) -> None:
    """Count what reached the victim, and say when it is enough."""
    global _count
    before, _count = _count, _count + now
    if before < enough <= _count:
        sys.stdout.write("at full strength\n")
        sys.stdout.flush()


def _code(error: grpc.RpcError) -> str:
    return rpc_error(error, PeerUnreachable("nobody")).code


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
