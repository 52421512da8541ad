"""Gateways are killed and links cut at the worst moment; every message still arrives, once, and goes on midway."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.client import ExecutorWire, GatewayAdmin, IncomingCall, PeerUnreachable
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.ledger import unbroken
from gateway.mailbox.schema import open_database
from party.home_init import Ports, create_home
from party.trust import trust
from runtime.errors import Unavailable
from tests.fakes.gateway_parties import GUEST, HOST, GatewayProcess, make_contract
from tests.fakes.tcp_proxy import TcpProxy

SIZE = 20_000_000
STALL = 8_000_000
VALUE = np.arange(SIZE // 8, dtype=np.float64)


class Stage:
    """Two gateways; what alpha sends to beta passes a proxy."""

    def __init__(self, root: Path) -> None:
        ports = Ports.pick()
        self.proxy = TcpProxy(ports.gateway)
        alpha = create_home(root / "alpha", "alpha")
        beta = create_home(root / "beta", "beta", ports=ports, public=[f"127.0.0.1:{self.proxy.port}"])
        trust(alpha, beta.root / "card.json")
        trust(beta, alpha.root / "card.json")
        self.alpha, self.beta = GatewayProcess(alpha), GatewayProcess(beta)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(GatewayProcess.start, (self.alpha, self.beta)))
        self.contract = make_contract()
        for gateway in (self.alpha, self.beta):
            gateway.admin().open_job(self.contract)
        self.guest, self.host = self.alpha.wire(self.contract, GUEST), self.beta.wire(self.contract, HOST)

    def close(self) -> None:
        self.alpha.stop()
        self.beta.stop()
        self.proxy.close()

    def kill_receiver(self) -> None:
        self.beta.kill()
        self.proxy.cut()
        self.beta.start()

    def kill_sender(self) -> None:
        self.alpha.kill()
        self.proxy.cut()
        self.alpha.start()

    def cut_link(self) -> None:
        self.proxy.cut()

    def ledger_is_whole(self) -> bool:
        return all(self._whole(gateway) for gateway in (self.alpha, self.beta))

    def _whole(self, gateway: GatewayProcess) -> bool:
        folder = gateway.home.state("gateway")
        mailbox = DiskMailbox(folder / "mailbox", open_database(folder / "gateway.sqlite"))
        try:
            return unbroken(mailbox.ledger()) and len(mailbox.ledger()) == 2
        finally:
            mailbox.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("blow", [Stage.kill_receiver, Stage.kill_sender, Stage.cut_link])
def test_a_delivery_that_was_broken_goes_on_where_it_stopped(stage: Stage, blow: Callable[[Stage], None]) -> None:
    stage.guest.send(HOST, "loss", (0,), 1.0)
    assert stage.host.recv(GUEST, "loss", (0,)) == 1.0
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(stage.host.recv, GUEST, "update", (1,))
        stage.proxy.stall_after(STALL)
        stage.guest.send(HOST, "update", (1,), VALUE)
        stage.proxy.wait_for_stall()
        time.sleep(0.3)  # what was forwarded is written
        before = stage.proxy.forwarded
        blow(stage)
        assert np.array_equal(got.result(30), VALUE)
    resent = stage.proxy.forwarded - before
    assert resent < SIZE - STALL // 2, "the delivery began again instead of going on"
    stage.guest.send(HOST, "update", (1,), VALUE + 1)  # a restarted executor sends another value
    assert np.array_equal(stage.host.recv(GUEST, "update", (1,)), VALUE)  # type: ignore[arg-type]
    assert stage.alpha.admin().close_job(stage.contract.job).peers["beta"].messages_out == 2
    assert stage.beta.admin().close_job(stage.contract.job).peers["alpha"].messages_in == 2
    for gateway in (stage.alpha, stage.beta):
        assert not list((gateway.home.state("gateway") / "mailbox").rglob("*/*"))
        gateway.stop()
    assert stage.ledger_is_whole()


def test_executors_outlive_the_restart_of_their_own_gateway(stage: Stage) -> None:
    with ThreadPoolExecutor(2) as pool:
        got = pool.submit(stage.host.recv, GUEST, "loss", (1,))
        time.sleep(0.1)
        stage.beta.kill()
        stage.alpha.kill()
        sent = pool.submit(stage.guest.send, HOST, "loss", (1,), 0.5)
        time.sleep(0.2)
        assert not sent.done()
        stage.alpha.start()
        sent.result(20)
        stage.beta.start()
        assert got.result(20) == 0.5
    assert stage.host.recv(GUEST, "loss", (1,)) == 0.5


def test_what_was_acknowledged_survives_a_kill_of_the_sender(stage: Stage) -> None:
    stage.beta.kill()
    for step in range(20):
        stage.guest.send(HOST, "loss", (step,), float(step))
    stage.guest.send(HOST, "update", (0,), VALUE)
    stage.alpha.kill()
    stage.alpha.start()
    (peer,) = stage.alpha.admin().peers()
    assert peer.queued == 21
    stage.beta.start()
    assert [stage.host.recv(GUEST, "loss", (step,)) for step in range(20)] == [float(step) for step in range(20)]
    assert np.array_equal(stage.host.recv(GUEST, "update", (0,)), VALUE)  # type: ignore[arg-type]


def test_calls_come_back_with_the_gateways(stage: Stage) -> None:
    def echo(call: IncomingCall) -> bytes:
        return call.body

    served = stage.beta.admin().serve_calls(echo)
    admin = stage.alpha.admin()
    assert admin.call("beta", "echo", b"1") == b"1"
    stage.beta.kill()
    with pytest.raises(PeerUnreachable, match="beta"):
        admin.call("beta", "echo", b"2")
    stage.beta.start()
    assert _until_answered(admin) == b"3"
    served.stop()


def _until_answered(admin: GatewayAdmin) -> bytes:
    for _ in range(200):
        try:
            return admin.call("beta", "echo", b"3")
        except Unavailable:
            time.sleep(0.02)
    raise AssertionError("no answer")


def test_a_wire_with_little_patience_gives_up(stage: Stage) -> None:
    stage.alpha.kill()
    impatient = ExecutorWire(stage.alpha.home.socket("gateway"), "token", patience_s=0.1)
    with pytest.raises(Exception, match="does not answer"):
        impatient.send(HOST, "loss", (0,), 1.0)
