from __future__ import annotations

import socket

import pytest

from runtime.addresses import FREE_PORTS, HostPort, free_port, is_loopback, parse_listen, require_free
from runtime.errors import BadAddress, PortInUse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9370", HostPort("127.0.0.1", 9370)),
        ("gateway.hospital-a.example:443", HostPort("gateway.hospital-a.example", 443)),
        ("gateway_a:0", HostPort("gateway_a", 0)),
        ("[::1]:65535", HostPort("::1", 65535)),
    ],
)
def test_an_address_is_host_and_port_and_prints_as_it_was_read(text: str, expected: HostPort) -> None:
    assert parse_listen(text) == expected
    assert str(parse_listen(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9370",
        ":9370",
        "host:",
        "host:-1",
        "host:65536",
        "host:9٣",
        "host:1e3",
        "::1:80",
        "[host]:80",
        "a b:1",
        "-a:1",
        "h/../x:1",
    ],
)
def test_text_that_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_listen(text)
    assert caught.value.hint


def test_a_port_that_somebody_listens_on_is_refused_and_the_setting_is_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        listen = HostPort("127.0.0.1", server.getsockname()[1])
        with pytest.raises(PortInUse, match=rf"{listen} \(flow.listen\) is in use") as caught:
            require_free(listen, "flow.listen")
        assert caught.value.retry
        assert "party.toml" in caught.value.hint


def test_a_port_shared_by_a_reusing_server_still_counts_as_taken() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(PortInUse):
            require_free(HostPort("127.0.0.1", server.getsockname()[1]), "gateway.listen")


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(BadAddress, match=r"192\.0\.2\.1:0 \(gateway\.listen\)"):
        require_free(HostPort("192.0.2.1", 0), "gateway.listen")
    with pytest.raises(BadAddress, match="no-such-host"):
        require_free(HostPort("no-such-host.invalid", 0), "gateway.listen")


def test_a_free_port_can_be_listened_on_and_lies_below_the_outgoing_range() -> None:
    port = free_port()
    assert port in FREE_PORTS
    require_free(HostPort("127.0.0.1", port), "board.listen")


def test_no_free_port_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(PortInUse, match="No free port"):
        free_port(avoid=FREE_PORTS)


@pytest.mark.parametrize(
    ("host", "answer"),
    [("127.0.0.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_hosts_are_known(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer
