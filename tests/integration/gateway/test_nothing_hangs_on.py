"""A refused call is let go at once: what only the garbage collector frees counts as an open stream of its peer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress

import grpc
import pytest

from gateway.client import GatewayAdmin, IncomingCall, serve
from gateway.transfer.tls_server import STREAMS_AT_ONCE
from gateway.wire import transfer
from runtime.canonical import canonical_json
from runtime.errors import NotFound
from tests.fakes.gateway_parties import make_homes
from tests.fakes.hostile_peer import HostilePeer
from tests.fakes.nodes import eventually

CALLS = 3 * STREAMS_AT_ONCE


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostilePeer, GatewayAdmin]]:
    """A peer of a gateway that runs here, and that peer's own gateway, for calls that are right."""
    homes = make_homes(tmp_path_factory.mktemp("hang"), ("south", "mallory"))
    services = [serve(home) for home in homes.values()]
    for service in services:
        service.start()

    def refuse(call: IncomingCall) -> bytes:
        raise NotFound(f"There is nothing for {call.party}.")

    subscription = GatewayAdmin(homes["south"].socket("gateway-admin")).serve_calls(refuse)
    peer = HostilePeer(homes["mallory"], homes["south"])
    yield peer, GatewayAdmin(homes["mallory"].socket("gateway-admin"))
    peer.close()
    subscription.stop()
    for service in services:
        service.stop(5)


def held() -> list[grpc.ServicerContext]:
    return [found for found in gc.get_objects() if issubclass(type(found), grpc.ServicerContext)]


def cut() -> Iterator[bytes]:
    raise OSError("The line is cut.")
    yield


EMPTY = transfer.Envelopes(envelopes=[transfer.Envelope()] * 1_000).SerializeToString()
WAYS: dict[str, Callable[[HostilePeer, GatewayAdmin], object]] = {
    "no greeting": lambda peer, _: peer.unary("Hello")(b"\xff", timeout=20),
    "no envelopes": lambda peer, _: peer.unary("Put")(b"\xff", timeout=20),
    "too many envelopes": lambda peer, _: peer.unary("Put")(EMPTY, timeout=20),
    "nothing offered": lambda peer, _: peer.unary("Offer")(b"\xff", timeout=20),
    "no delivery": lambda peer, _: peer.stream("Deliver")(iter([b"\xff"]), timeout=20),
    "a delivery that is cut": lambda peer, _: peer.stream("Deliver")(cut(), timeout=20),
    "no call": lambda peer, _: peer.unary("Call")(b"\xff", timeout=20),
    "an unsigned call": lambda peer, _: peer.unary("Call")(
        transfer.Envelope(header=canonical_json({"version": 1})).SerializeToString(), timeout=20
    ),
    "a call that Flow refuses": lambda _, admin: admin.call("south", "propose", b"{}", 20.0),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_refused_call_waits_for_the_garbage_collector(
    peers: tuple[HostilePeer, GatewayAdmin], way: str
) -> None:
    def call(times: int) -> None:
        for _ in range(times):
            with suppress(grpc.RpcError, NotFound):
                WAYS[way](*peers)

    gc.collect()
    before = len(held()) + 1  # the subscription of the Flow here may only just be coming
    gc.disable()
    try:
        call(CALLS)
        eventually(lambda: len(held()) <= before, timeout_s=10)
    finally:
        gc.enable()
