"""A channel between services of one party that is closed while others call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.errors import ChannelClosed, Unavailable
from runtime.inner.door_key import KEY_FILE
from runtime.inner.inner_channel import InnerChannel
from runtime.rpc import asking, unix_channel, unix_server

SERVICE = "archipelago.test.v1.Echo"


class Silent(Unavailable):
    """Nobody answers."""

    code = "test.silent"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
        return request

    def twice(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (request, request)

    served = unix_server(tmp_path / "echo.sock", 8)
    once, stream = grpc.unary_unary_rpc_method_handler(echo), grpc.unary_stream_rpc_method_handler(twice)
    served.add_registered_method_handlers(SERVICE, {"Once": once, "Twice": stream})
    served.start()
    yield tmp_path / "echo.sock"
    served.stop(0).wait()


def once(channel: InnerChannel) -> Any:
    return channel.unary_unary(f"/{SERVICE}/Once", _registered_method=True)


def test_every_call_shows_the_key_of_the_doors(socket: Path) -> None:
    with unix_channel(socket) as channel:
        assert once(channel)(b"x") == once(channel).future(b"x").result() == b"x"
        (socket.parent / KEY_FILE).rename(socket.parent / "elsewhere")
        with pytest.raises(grpc.RpcError, match="door"):
            once(channel)(b"x")


@pytest.mark.parametrize("keyed", [True, False])
def test_a_call_after_the_end_is_an_error_with_a_code(socket: Path, keyed: bool) -> None:
    channel = unix_channel(socket, keyed=keyed)
    made = once(channel)
    channel.close()
    channel.close()
    for late in (lambda: made(b"x"), lambda: made.future(b"x"), lambda: once(channel)):
        with pytest.raises(ChannelClosed):
            late()
    with pytest.raises(Silent), asking("the echo", Silent):
        made(b"x")


def test_callers_live_through_the_end_of_their_channel(socket: Path) -> None:
    ends: list[str] = []

    def call(channel: InnerChannel, begun: threading.Event) -> None:
        try:
            while True:
                once(channel)(b"x")
                begun.set()
                list(channel.unary_stream(f"/{SERVICE}/Twice", _registered_method=True)(b"x"))
        except (ChannelClosed, grpc.RpcError) as error:
            ends.append(type(error).__name__)

    for _ in range(20):
        channel, begun = unix_channel(socket), threading.Event()
        callers = [threading.Thread(target=call, args=(channel, begun)) for _ in range(3)]
        for caller in callers:
            caller.start()
        assert begun.wait(30)
        channel.close()
        for caller in callers:
            caller.join(30)
    assert len(ends) == 60
