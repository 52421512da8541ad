"""What is said of a peer that cannot be reached: never the library's words, always why and what to do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.client import GatewayAdmin, PeerStatus
from gateway.transfer.diagnosis import diagnose
from gateway.transfer.strangers import Stranger
from party.card import make_card
from party.home import PartyHome
from party.home_init import renew_card
from party.ids import party_id
from party.keys import make_keys
from party.trust import trust, untrust
from runtime.addresses import free_port
from tests.fakes.gateway_parties import GatewayProcess, make_homes

NEVER = ("Socket closed", "SSL", "ipv4:", "failed to connect", "handshake")


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, PartyHome]:
    return make_homes(tmp_path)


@pytest.fixture
def beta(homes: dict[str, PartyHome]) -> Iterator[GatewayProcess]:
    made = GatewayProcess(homes["beta"]).start()
    yield made
    made.stop()


def found(homes: dict[str, PartyHome], address: str | None = None) -> str:
    card = homes["beta"].card
    problem = diagnose(card, address or card.addresses[0], homes["alpha"].keys, "alpha")
    if problem is None:
        return ""
    assert problem.hint
    assert not any(word in str(problem) for word in NEVER)
    return problem.code


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def test_each_reason_why_a_peer_is_not_reached_has_a_name(homes: dict[str, PartyHome], beta: GatewayProcess) -> None:
    assert found(homes) == ""
    assert found(homes, f"127.0.0.1:{free_port()}") == "gateway.peer_not_listening"
    untrust(homes["beta"], "alpha")
    beta.admin().reload()
    assert found(homes) == "gateway.peer_distrusts_us"
    (stranger,) = beta.admin().strangers()
    assert (stranger.address, stranger.claims) == ("127.0.0.1", "alpha")
    old = homes["beta"].card
    renew_card(homes["beta"])
    beta.admin().reload()
    problem = diagnose(old, old.addresses[0], homes["alpha"].keys, "alpha")
    assert problem is not None
    assert problem.code == "gateway.peer_shows_other"


def test_another_program_at_the_address_is_told(homes: dict[str, PartyHome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            caller, _ = other.accept()
            with caller:
                caller.recv(100)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert found(homes, f"127.0.0.1:{other.getsockname()[1]}") == "gateway.peer_not_a_gateway"
        answering.join()


def test_a_forwarder_with_nobody_behind_it_is_told(homes: dict[str, PartyHome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as forwarder:

        def hang_up() -> None:
            for _ in range(2):
                caller, _ = forwarder.accept()
                caller.recv(1)  # the rest unread: the second connection is reset
                caller.close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        address = f"127.0.0.1:{forwarder.getsockname()[1]}"
        for _ in range(2):
            problem = diagnose(homes["beta"].card, address, homes["alpha"].keys, "alpha")
            assert problem is not None
            assert problem.code == "gateway.peer_not_listening"
            assert "nobody answers behind it" in str(problem)
        answering.join()


def peer_of(admin: GatewayAdmin) -> PeerStatus:
    (peer,) = admin.peers()
    return peer


def strangers_of(admin: GatewayAdmin) -> list[Stranger]:
    return [one for one in admin.strangers() if one.claims]


def test_a_peer_that_forgot_to_trust_us_is_named_at_both_ends(
    homes: dict[str, PartyHome], beta: GatewayProcess
) -> None:
    untrust(homes["beta"], "alpha")
    beta.admin().reload()
    alpha = GatewayProcess(homes["alpha"]).start()
    try:
        until(lambda: peer_of(alpha.admin()).state == "refused")
        peer = peer_of(alpha.admin())
        assert peer.code == "gateway.peer_distrusts_us"
        assert "does not trust our newest card" in peer.problem
        assert "flow party trust" in peer.remedy
        until(lambda: bool(strangers_of(beta.admin())))
        assert strangers_of(beta.admin())[0].claims == "alpha"
        trust(homes["beta"], homes["alpha"].root / "card.json")  # nobody tells the gateway: it sees it by itself
        until(lambda: peer_of(alpha.admin()).state == "up")
    finally:
        alpha.stop()


def test_a_renewed_card_is_taken_up_by_a_running_gateway_and_the_link_comes_back(
    homes: dict[str, PartyHome], beta: GatewayProcess
) -> None:
    alpha = GatewayProcess(homes["alpha"]).start()
    try:
        until(lambda: peer_of(alpha.admin()).state == "up" == peer_of(beta.admin()).state)
        renew_card(homes["beta"])
        trust(homes["alpha"], homes["beta"].root / "card.json")
        until(lambda: found(homes) == "" and peer_of(alpha.admin()).state == "up" == peer_of(beta.admin()).state)
    finally:
        alpha.stop()


def test_a_peer_that_died_is_down_by_itself(homes: dict[str, PartyHome], beta: GatewayProcess) -> None:
    alpha = GatewayProcess(homes["alpha"]).start()
    try:
        until(lambda: peer_of(alpha.admin()).state == "up")
        beta.kill()
        until(lambda: peer_of(alpha.admin()).code == "gateway.peer_not_listening")
    finally:
        alpha.stop()


def test_cards_that_are_not_valid_now_stay_in_the_list_with_the_reason(homes: dict[str, PartyHome]) -> None:
    later = make_keys(party_id("beta"), now=datetime.now(UTC) + timedelta(hours=1))
    card = make_card(later, party_id("beta"), ("127.0.0.1:1",))
    (homes["alpha"].root / "trusted" / "beta.json").write_bytes(card.to_json())
    alpha = GatewayProcess(homes["alpha"]).start()
    try:
        peer = peer_of(alpha.admin())
        assert (peer.state, peer.code) == ("not-valid", "party.card_not_yet_valid")
        assert "clocks" in peer.remedy
    finally:
        alpha.stop()
