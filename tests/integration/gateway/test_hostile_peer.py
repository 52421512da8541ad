"""What a trusted but hostile party tries on a real gateway, while an honest third party goes on as ever."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from gateway.client import ExecutorWire, JobContract
from gateway.mailbox.schema import open_database
from gateway.transfer.transfer_servicer import PEER_CALLS, PUT_ENVELOPES
from gateway.wire import CHUNK_BYTES, transfer
from party.home import PartyHome
from party.ids import Address
from storage.client import encode
from tests.fakes.gateway_parties import TASK, GatewayProcess, line, make_contract, make_homes
from tests.fakes.header_flood import flood, through_tls
from tests.fakes.hostile_peer import TRANSFER, HostilePeer, resident_bytes, silence
from tests.fakes.nodes import eventually

HONEST = Address.parse("guest:alpha")
VICTIM = Address.parse("host:beta")
MALLORY = Address.parse("guest:mallory")
ALL = frozenset({str(HONEST), str(VICTIM), str(MALLORY)})
GROWTH_BYTES = 100 << 20
LOG_BYTES = 1 << 20


class Siege:
    """Beta's gateway with honest alpha and hostile mallory."""

    def __init__(self, root: Path) -> None:
        self.homes: dict[str, PartyHome] = make_homes(root, ("alpha", "beta", "mallory"))
        self.alpha, self.beta = (GatewayProcess(self.homes[name]).start() for name in ("alpha", "beta"))
        self.contract: JobContract = make_contract(
            "", (line("update", "array", frm=ALL, to=ALL), line("loss", "float", "plain-scalar", 4096, frm=ALL, to=ALL))
        )
        for gateway in (self.alpha, self.beta):
            gateway.admin().open_job(self.contract)
        self.sending = self._wire(self.alpha, HONEST)
        self.receiving = self._wire(self.beta, VICTIM)
        self.turn = 0
        self.honest()
        self.before = self.memory()

    def _wire(self, gateway: GatewayProcess, address: Address) -> ExecutorWire:
        return gateway.wire(self.contract, address)

    def honest(self) -> None:
        """Alpha's message and a large one arrive at beta."""
        self.turn += 1
        self.sending.send(VICTIM, "loss", (self.turn,), 0.5)
        self.sending.send(VICTIM, "update", (self.turn,), np.full(100_000, 1.5))
        assert self.receiving.recv(HONEST, "loss", (self.turn,)) == 0.5
        assert len(self.receiving.recv(HONEST, "update", (self.turn,))) == 100_000  # type: ignore[arg-type]

    def mallory(self) -> HostilePeer:
        return HostilePeer(self.homes["mallory"], self.homes["beta"])

    def memory(self) -> int:
        assert self.beta.process is not None
        return resident_bytes(self.beta.process.pid or 0)

    def check(self) -> None:
        """Honest traffic goes on, and the gateway has paid little."""
        self.honest()
        assert self.memory() - self.before < GROWTH_BYTES
        assert len(self.beta.log()) < LOG_BYTES

    def stop(self) -> None:
        self.alpha.stop()
        assert self.beta.stop() == 0


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    made = Siege(tmp_path_factory.mktemp("siege"))
    yield made
    made.stop()


@pytest.mark.parametrize("method", ["Deliver", "Put", "Offer", "Call", "Hello"])
def test_hanging_streams_of_one_party_lock_nobody_out(siege: Siege, method: str) -> None:
    until = threading.Event()
    peers = [siege.mallory() for _ in range(5)]
    hanging = [peers[n % 5].stream(method).future(silence(until), timeout=60) for n in range(256)]
    kind = {"Deliver": "deliver", "Put": "put", "Offer": "put", "Call": "call", "Hello": "hello"}[method]
    codes = [call.code() for call in _first_done(hanging, 256 - PEER_CALLS[kind])]
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    siege.check()
    until.set()
    for peer in peers:
        peer.close()


def _first_done(calls: list[grpc.Future], count: int) -> list[grpc.Future]:
    done: list[grpc.Future] = []
    enough = threading.Event()

    def ended(call: grpc.Future) -> None:
        done.append(call)
        if len(done) >= count:
            enough.set()

    for call in calls:
        call.add_done_callback(ended)
    assert enough.wait(60)
    return done[:count]


def test_five_hundred_thousand_empty_envelopes_are_refused_before_they_are_parsed(siege: Siege) -> None:
    peer = siege.mallory()
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            peer.unary("Put")(b"\x0a\x00" * 500_000, timeout=60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert f"more than {PUT_ENVELOPES}" in caught.value.details()
    siege.check()
    peer.close()


def test_a_flood_of_refused_envelopes_leaves_few_lines_and_is_counted_in_the_ledger(siege: Siege) -> None:
    peer = siege.mallory()
    empty = transfer.Envelopes(envelopes=[transfer.Envelope()] * PUT_ENVELOPES).SerializeToString()
    for _ in range(4):
        receipts = transfer.Receipts.FromString(peer.unary("Put")(empty, timeout=60)).receipts
        assert {receipt.code for receipt in receipts} == {"gateway.bad_envelope"}
    siege.check()
    lines = [json.loads(text) for text in siege.beta.log().splitlines()]
    assert sum(entry.get("peer") == "mallory" and entry.get("code") == "gateway.bad_envelope" for entry in lines) <= 20
    peer.close()


def test_what_was_refused_too_often_stands_in_the_ledger_when_the_gateway_has_stopped(tmp_path: Path) -> None:
    homes = make_homes(tmp_path, ("beta", "mallory"))
    beta = GatewayProcess(homes["beta"]).start()
    peer = HostilePeer(homes["mallory"], homes["beta"])
    empty = transfer.Envelopes(envelopes=[transfer.Envelope()] * 100).SerializeToString()
    peer.unary("Put")(empty, timeout=60)
    peer.close()
    assert beta.stop() == 0
    database = open_database(homes["beta"].state("gateway") / "gateway.sqlite", "process")
    rows = database.read("SELECT what, messages FROM ledger WHERE peer = 'mallory'")
    database.close()
    assert sum(messages for _, messages in rows) == 100
    assert [messages for what, messages in rows if what.endswith("more")] == [40]


@pytest.mark.parametrize(
    "megabytes", [24, pytest.param(640, marks=pytest.mark.soak)], ids=["small", "as large as it was tried"]
)
def test_a_large_body_of_many_parts_is_checked_where_it_lies(siege: Siege, megabytes: int) -> None:
    peer = siege.mallory()
    value = encode(np.random.default_rng(1).normal(size=(megabytes << 20) // 8 // 4)).to_pybytes()
    whole = sha256()
    for _ in range(4):
        whole.update(value)
    envelope = peer.envelope(siege.contract.job, [((megabytes, n), value) for n in range(4)], sha256=whole.hexdigest())

    def chunks() -> Iterator[bytes]:
        yield transfer.Chunk(header=envelope.canonical, signature=envelope.signature).SerializeToString()
        for _ in range(4):
            for at in range(0, len(value), CHUNK_BYTES):
                yield transfer.Chunk(data=value[at : at + CHUNK_BYTES]).SerializeToString()

    receipt = transfer.Receipt.FromString(peer.stream("Deliver")(chunks(), timeout=280))
    assert receipt.outcome == transfer.OUTCOME_STORED, receipt
    siege.check()
    got = siege.receiving.recv(MALLORY, "update", (megabytes, 3))
    assert encode(got).to_pybytes() == value
    peer.close()


def test_half_bodies_of_one_party_do_not_pile_up(siege: Siege) -> None:
    peer = siege.mallory()
    halves = siege.homes["beta"].state("gateway") / "mailbox" / "partial"
    for n in range(40):
        envelope = peer.envelope(siege.contract.job, [((7, n), b"x" * 400_000)])
        offered = transfer.Envelope(header=envelope.canonical, signature=envelope.signature)
        assert transfer.Standing.FromString(peer.unary("Offer")(offered.SerializeToString())).have_bytes == 0
        head = transfer.Chunk(header=envelope.canonical, signature=envelope.signature).SerializeToString()
        part = transfer.Chunk(data=b"x" * 1000).SerializeToString()
        cut = transfer.Receipt.FromString(peer.stream("Deliver")(iter([head, part])))
        assert cut.code == "gateway.delivery_cut"
    assert len(list(halves.iterdir())) <= 17
    siege.check()
    peer.close()


def test_an_attempt_that_has_not_begun_is_put_off_and_one_more_than_the_newest_is_kept(siege: Siege) -> None:
    peer = siege.mallory()
    body = encode(np.zeros(3)).to_pybytes()
    outcomes = {}
    for attempt in (1, 2, 3, 77):
        envelope = peer.envelope(siege.contract.job, [((attempt,), body)], attempt=attempt)
        message = transfer.Envelope(header=envelope.canonical, signature=envelope.signature, body=body)
        raw = peer.unary("Put")(transfer.Envelopes(envelopes=[message]).SerializeToString())
        (receipt,) = transfer.Receipts.FromString(raw).receipts
        outcomes[attempt] = (receipt.outcome, receipt.code)
    put_off = (transfer.OUTCOME_LATER, "gateway.attempt_not_open")
    assert outcomes == {1: (transfer.OUTCOME_STORED, ""), 2: (transfer.OUTCOME_STORED, ""), 3: put_off, 77: put_off}
    peer.close()


def test_streams_that_hung_are_free_again_once_their_caller_is_gone(siege: Siege) -> None:
    until = threading.Event()
    for _ in range(3):
        peer = siege.mallory()
        hanging = [peer.stream("Deliver").future(silence(until)) for _ in range(PEER_CALLS["deliver"])]
        peer.close()
        assert all(call.exception() is not None for call in hanging)
    until.set()
    assert siege.beta.process is not None
    beta = psutil.Process(siege.beta.process.pid)
    deadline = time.monotonic() + 20
    while _connections(beta) > 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    peer = siege.mallory()
    envelope = peer.envelope(siege.contract.job, [((9, 9), b"")])
    head = transfer.Chunk(header=envelope.canonical, signature=envelope.signature).SerializeToString()
    receipt = transfer.Receipt.FromString(peer.stream("Deliver")(iter([head]), timeout=20))
    assert receipt.code != "gateway.too_much_at_once"
    peer.close()


def _connections(process: psutil.Process) -> int:
    return sum(known.status == psutil.CONN_ESTABLISHED for known in process.net_connections("tcp"))


def test_an_executor_that_hangs_locks_out_no_other(siege: Siege) -> None:
    token = siege.beta.admin().issue_token(siege.contract.job, TASK, 1, str(VICTIM), 1)
    until = threading.Event()
    channel = grpc.insecure_channel(f"unix:{siege.homes['beta'].socket('gateway')}")
    method = channel.stream_unary("/archipelago.local.v1.Executor/SendLarge")
    calls = [method.future(silence(until), metadata=(("archipelago-token", token),)) for _ in range(1200)]
    strangers = [method.future(silence(until), metadata=(("archipelago-token", "no"),)) for _ in range(50)]
    assert all(call.code() == grpc.StatusCode.PERMISSION_DENIED for call in strangers)
    other = siege.beta.admin().issue_token(siege.contract.job, TASK, 1, str(HONEST), 9)
    assert ExecutorWire(siege.homes["beta"].socket("gateway"), other, patience_s=60).release([]) is None
    ExecutorWire(siege.homes["beta"].socket("gateway"), other, patience_s=60).send(VICTIM, "loss", (99,), 1.0)
    until.set()
    channel.close()
    assert len(calls) == 1200
    siege.receiving = siege.beta.wire(siege.contract, VICTIM, incarnation=2)
    siege.check()


FLOODS = [pytest.param(4, 600, id="small"), pytest.param(15, 12_000, id="at full strength", marks=pytest.mark.soak)]


@pytest.mark.parametrize(("connections", "frames"), FLOODS)
def test_headers_that_a_byte_each_refers_to_cost_a_bounded_memory_for_a_while(
    siege: Siege, connections: int, frames: int, tmp_path: Path
) -> None:
    connect = through_tls(siege.homes["mallory"], siege.homes["beta"], tmp_path)
    held = [siege.memory()]

    def look() -> None:
        siege.honest()
        held.append(siege.memory())

    flood(connect, f"{TRANSFER}/Call", connections, frames, look)
    eventually(lambda: siege.memory() - siege.before < GROWTH_BYTES / 4, timeout_s=120)  # the last are turned away
    siege.check()
    assert max(held) - siege.before < 4 * GROWTH_BYTES
