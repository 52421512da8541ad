"""How errors cross a real socket between the services of one party."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from runtime.errors import DoorClosed, PlatformError, TooManyGuesses, Unavailable
from runtime.rpc import answering, asking, read_metrics, serve_metrics, unix_channel, unix_server

LONG = 20_000


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    with answering(context):
        raise TooManyGuesses(request.decode() * LONG, hint=request.decode() * LONG)


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    server = unix_server(tmp_path / "x.sock", 4)
    methods = {"Fail": grpc.unary_unary_rpc_method_handler(fail)}
    server.add_registered_method_handlers("test.Service", methods)
    serve_metrics(server, lambda: b"cups_total 3.0\n")
    server.start()
    yield tmp_path / "x.sock"
    server.stop(None).wait()


def ask(channel: grpc.Channel, text: str) -> PlatformError:
    with channel, pytest.raises(PlatformError) as caught, asking("it", Unavailable):
        channel.unary_unary("/test.Service/Fail", _registered_method=True)(text.encode(), timeout=30)
    return caught.value


@pytest.mark.parametrize("text", ["x", "%", '"', "\n", "\N{SNOWMAN}", "\N{GRINNING FACE}"])
def test_an_error_with_a_long_text_crosses_as_itself(socket: Path, text: str) -> None:
    error = ask(unix_channel(socket), text)
    assert type(error) is TooManyGuesses
    assert set(error.message) == set(error.hint) == {text}


def test_a_caller_without_the_key_is_told_that_the_door_is_closed(socket: Path) -> None:
    assert type(ask(grpc.insecure_channel(f"unix:{socket}"), "x")) is DoorClosed


def test_what_a_service_counts_is_read_at_its_door_by_who_has_the_key(socket: Path) -> None:
    with unix_channel(socket) as channel:
        assert read_metrics(channel) == b"cups_total 3.0\n"
    with unix_channel(socket, keyed=False) as channel, pytest.raises(DoorClosed), asking("it", Unavailable):
        read_metrics(channel)
