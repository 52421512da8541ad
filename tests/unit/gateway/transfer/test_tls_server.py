"""The TLS server waits for no handshake without end, and reads no card for a handshake that brings nothing new."""

from __future__ import annotations

import socket
from pathlib import Path

import grpc
import pytest

from gateway.peers import PeerBook
from gateway.transfer.front import FrontTimes
from gateway.transfer.tls_server import HANDSHAKE_MS, _Certificates, tls_server
from party.home import PartyHome
from party.home_init import renew_card
from party.trust import trust, untrust
from tests.fakes.gateway_parties import make_homes
from tests.fakes.hellos import HALF_HELLO, whole_hello


@pytest.mark.parametrize("shown", [b"", HALF_HELLO, whole_hello()], ids=["nothing", "half a hello", "a whole hello"])
def test_a_handshake_that_is_never_completed_is_ended(
    homes: dict[str, PartyHome], tmp_path: Path, shown: bytes
) -> None:
    served = tls_server(PeerBook(homes["beta"]), tmp_path / "tls", handshake_ms=100)
    served.start()
    try:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(30)  # without a limit of ours gRPC waits for two minutes
            caller.connect(str(tmp_path / "tls"))
            caller.sendall(shown)
            while caller.recv(4096):
                pass
    finally:
        served.stop(None).wait()


def test_a_caller_has_ten_seconds_to_show_who_it_is() -> None:
    assert (FrontTimes().show_s, HANDSHAKE_MS) == (10, 10_000)


def test_certificates_are_answered_again_only_after_a_change(tmp_path: Path) -> None:
    homes = make_homes(tmp_path)
    home, beta = homes["alpha"], homes["beta"]
    book = PeerBook(home)
    first, ask = _Certificates(book).first()
    assert isinstance(first, grpc.ServerCertificateConfiguration)
    changes = (
        lambda: untrust(home, "beta"),
        lambda: trust(home, beta.root / "card.json"),
        lambda: renew_card(home),
    )
    for change in (lambda: None, *changes):
        book.reload()
        assert [ask() for _ in range(3)] == [None] * 3
        change()
        assert ask() is None  # the book was not told yet
        book.reload()
        if change in changes:
            assert isinstance(ask(), grpc.ServerCertificateConfiguration)
