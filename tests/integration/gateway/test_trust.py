"""Who is not trusted gets nothing; what leaves can be recorded; the process says why it does not start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.client import GatewayAdmin, MessageRefused, PeerUnreachable
from gateway.errors import ProtocolMismatch
from gateway.server import serve
from gateway.wire import AdminStub, TransferStub, executor_channel, local, transfer
from party.card import make_card
from party.errors import CardExpired
from party.home import PartyHome
from party.home_init import create_home, save_settings
from party.ids import party_id
from party.keys import PartyKeys, make_keys
from party.trust import trust, untrust
from runtime.errors import PlatformError, PortInUse
from runtime.rpc import rpc_error
from tests.fakes.gateway_parties import GUEST, HOST, GatewayProcess, line, make_contract, make_homes

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(make_homes(tmp_path_factory.mktemp("trust"), ("alpha", "beta"))["beta"]).start()
    yield made
    made.stop()


def stub(gateway: GatewayProcess, keys: PartyKeys | None) -> TransferStub:
    """A connection as a hand-made peer would open it."""
    credentials = grpc.ssl_channel_credentials(
        gateway.home.card.tls_certificate.encode(),
        keys.tls_key_pem if keys else None,
        keys.tls_cert_pem if keys else None,
    )
    options = [("grpc.ssl_target_name_override", gateway.home.party), ("grpc.use_local_subchannel_pool", 1)]
    return TransferStub(grpc.secure_channel(gateway.home.settings.gateway.listen, credentials, options=options))


def hello(gateway: GatewayProcess, keys: PartyKeys | None, protocol: int = 1, minimum: int = 1) -> transfer.Greeting:
    return stub(gateway, keys).Hello(transfer.Greeting(protocol=protocol, minimum=minimum), timeout=10)


def test_only_a_pinned_certificate_gets_through_the_handshake(beta: GatewayProcess) -> None:
    alpha = PartyHome(beta.home.root.parent / "alpha")
    assert hello(beta, alpha.keys).protocol == 1
    for stranger in (None, make_keys(party_id("gamma")), make_keys(party_id("alpha"))):
        with pytest.raises(grpc.RpcError) as caught:
            hello(beta, stranger)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_plain_text_is_not_spoken(beta: GatewayProcess) -> None:
    channel = grpc.insecure_channel(beta.home.settings.gateway.listen)
    with pytest.raises(grpc.RpcError) as caught:
        TransferStub(channel).Hello(transfer.Greeting(protocol=1, minimum=1), timeout=5)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    channel.close()


def test_a_party_that_is_no_longer_trusted_loses_its_open_connection(beta: GatewayProcess) -> None:
    alpha = PartyHome(beta.home.root.parent / "alpha")
    connection = stub(beta, alpha.keys)
    greeting = transfer.Greeting(protocol=1, minimum=1)
    connection.Hello(greeting, timeout=10)
    untrust(beta.home, "alpha")
    beta.admin().reload()
    with pytest.raises(grpc.RpcError) as caught:
        connection.Hello(greeting, timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    trust(beta.home, alpha.root / "card.json")
    beta.admin().reload()
    assert connection.Hello(greeting, timeout=60, wait_for_ready=True).protocol == 1


@pytest.mark.parametrize(("protocol", "minimum"), [(0, 0), (9, 2)])
def test_versions_without_overlap_are_refused_by_name(beta: GatewayProcess, protocol: int, minimum: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        hello(beta, PartyHome(beta.home.root.parent / "alpha").keys, protocol, minimum)
    error = rpc_error(caught.value, PlatformError("?"))
    assert isinstance(error, ProtocolMismatch)
    assert "alpha speaks protocol" in error.message


def test_the_doors_for_our_own_processes_are_closed_to_other_users_and_to_executors(beta: GatewayProcess) -> None:
    assert beta.home.socket("gateway-admin").stat().st_mode & 0o777 == 0o600
    unkeyed = AdminStub(executor_channel(beta.home.socket("gateway-admin")))
    with pytest.raises(grpc.RpcError) as refused:
        unkeyed.Sign(local.Statement(purpose="x", message=b"y"), timeout=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert beta.home.run_dir.stat().st_mode & 0o777 == 0o700
    for path in beta.home.state("gateway").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or not path.is_file() or path.suffix.startswith(".sqlite")


def test_garbage_on_an_open_connection_is_refused_by_name(beta: GatewayProcess) -> None:
    connection = stub(beta, PartyHome(beta.home.root.parent / "alpha").keys)
    (receipt,) = connection.Put(transfer.Envelopes(envelopes=[transfer.Envelope(header=b"{")]), timeout=10).receipts
    assert (receipt.outcome, receipt.code) == (transfer.OUTCOME_REFUSED, "gateway.bad_envelope")
    assert connection.Deliver(iter([]), timeout=10).code == "gateway.bad_envelope"
    assert connection.Offer(transfer.Envelope(header=b"[]"), timeout=10).receipt.code == "gateway.envelope_version"
    with pytest.raises(grpc.RpcError) as caught:
        connection.Call(transfer.Envelope(header=b"{}"), timeout=10)
    assert rpc_error(caught.value, PlatformError("?")).code == "gateway.envelope_version"


def test_an_expired_card_opens_nothing(tmp_path: Path) -> None:
    homes = make_homes(tmp_path, ("alpha",))
    long_ago = datetime.now(UTC) - timedelta(days=30)
    old = make_keys(party_id("beta"), now=long_ago, valid_days=10)
    card = make_card(old, party_id("beta"), ("127.0.0.1:1",))
    (homes["alpha"].root / "trusted" / "beta.json").write_bytes(card.to_json())
    with pytest.raises(CardExpired):
        card.check_valid()
    gateway = GatewayProcess(homes["alpha"]).start()
    try:
        with pytest.raises(PlatformError, match="The card of beta expired"):
            gateway.admin().call("beta", "m", b"")
        with pytest.raises(grpc.RpcError):
            hello(gateway, old)
    finally:
        gateway.stop()


def test_a_message_that_the_peer_refuses_for_good_fails_the_attempt_that_sent_it(tmp_path: Path) -> None:
    homes = make_homes(tmp_path)
    alpha, beta = GatewayProcess(homes["alpha"]).start(), GatewayProcess(homes["beta"]).start()
    try:
        contract = make_contract()
        alpha.admin().open_job(contract)
        beta.admin().open_job(make_contract(contract.job, (line("update", "array", max_bytes=100),)))
        guest = alpha.wire(contract, GUEST)
        guest.send(HOST, "update", (1,), np.zeros(1000))
        with pytest.raises(MessageRefused, match=r"beta refused 'update'.*contract_violation"):
            guest.recv(HOST, "update", (2,))
        with pytest.raises(MessageRefused):
            guest.send(HOST, "update", (2,), np.zeros(1))
    finally:
        alpha.stop()
        beta.stop()


def test_parties_that_have_a_job_open_under_different_manifests_exchange_nothing(tmp_path: Path) -> None:
    homes = make_homes(tmp_path)
    alpha, beta = GatewayProcess(homes["alpha"]).start(), GatewayProcess(homes["beta"]).start()
    try:
        contract = make_contract()
        alpha.admin().open_job(contract)
        beta.admin().open_job(replace(contract, manifest_digest="cd" * 32))
        guest, host = alpha.wire(contract, GUEST), beta.wire(contract, HOST)
        host.send(GUEST, "loss", (1,), 1.0)
        with pytest.raises(MessageRefused, match=r"alpha refused 'loss'.*manifests_differ"):
            host.recv(GUEST, "update", (1,))
        guest.send(HOST, "update", (1,), np.zeros(200_000))  # large enough to be offered first
        with pytest.raises(MessageRefused, match=r"beta refused 'update'.*manifests_differ"):
            guest.recv(HOST, "loss", (2,))
    finally:
        alpha.stop()
        beta.stop()


def test_recorded_envelopes_hold_what_was_sent_and_nothing_sealed_in_the_clear(tmp_path: Path) -> None:
    homes = make_homes(tmp_path)
    settings = homes["alpha"].settings
    recorded = settings.gateway.model_copy(update={"record_envelopes": "recorded"})
    save_settings(homes["alpha"], settings.model_copy(update={"gateway": recorded}))
    alpha = GatewayProcess(PartyHome(homes["alpha"].root)).start()
    beta = GatewayProcess(homes["beta"]).start()
    try:
        contract = make_contract()
        for gateway in (alpha, beta):
            gateway.admin().open_job(contract)
        guest, host = alpha.wire(contract, GUEST), beta.wire(contract, HOST)
        plain, secret = np.full(50_000, 1.25), np.full(50_000, 2.75)
        guest.send(HOST, "update", (1,), plain)
        guest.send(HOST, "model", (1,), secret)
        host.recv(GUEST, "update", (1,))
        host.recv(GUEST, "model", (1,))
        beta.admin().serve_calls(lambda call: call.body)
        assert alpha.admin().call("beta", "propose", b"canary") == b"canary"
    finally:
        alpha.stop()
        beta.stop()
    bodies = [path.read_bytes() for path in (homes["alpha"].root / "recorded").glob("*.body")]
    assert len(bodies) == len(list((homes["alpha"].root / "recorded").glob("*.header"))) == 3
    assert sum(plain[:8].tobytes() in body for body in bodies) == 1
    assert not any(secret[:8].tobytes() in body for body in bodies)
    assert b"canary" in bodies


def test_the_gateway_as_a_process_starts_says_so_and_stops(tmp_path: Path) -> None:
    home = create_home(tmp_path / "alpha", "alpha")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gateway", "--home", str(home.root), "--ready-fd", str(writing)]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"ready\n"
    assert GatewayAdmin(home.socket("gateway-admin")).health().pid == process.pid
    assert subprocess.run(command[:-2], cwd=ROOT, capture_output=True, check=False).returncode == 5
    process.terminate()
    assert process.wait(20) == 0


def test_a_port_in_use_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    home = create_home(tmp_path / "alpha", "alpha")
    host, _, port = home.settings.gateway.listen.rpartition(":")
    with socket.create_server((host, int(port))), pytest.raises(PortInUse, match=r"gateway\.listen"):
        serve(home).start()
    service = serve(home)
    service.start()
    assert GatewayAdmin(home.socket("gateway-admin")).health().party == "alpha"
    service.stop(1)
    service.stop(1)


def test_a_peer_without_an_address_is_named(tmp_path: Path) -> None:
    alpha = create_home(tmp_path / "alpha", "alpha")
    quiet = create_home(tmp_path / "quiet", "quiet", public=[])
    trust(alpha, quiet.root / "card.json")
    service = serve(alpha)
    service.start()
    try:
        admin = GatewayAdmin(alpha.socket("gateway-admin"))
        with pytest.raises(PeerUnreachable, match="only calls out"):
            admin.call("quiet", "m", b"", timeout_s=1)
        assert [(peer.party, peer.state) for peer in admin.peers()] == [("quiet", "no-address")]
    finally:
        service.stop(1)
