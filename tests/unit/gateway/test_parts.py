"""The small parts: back-off, the subscribers, the way out, and what importing the room must not do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.backoff import Backoff
from gateway.calls.subscribers import Subscribers
from gateway.errors import ContractViolation, FlowSilent, JobClosed, NoSubscriber, PeerUnknown, PeerUnreachable
from gateway.executors.arrivals import Arrivals
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Bearer
from gateway.mailbox.store import Outgoing
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.transfer.delivery import Delivery, Lane
from gateway.transfer.link import Link, Outcome, Receipt
from party.home import PartyHome
from party.seal import unseal
from runtime.errors import NotFound, PlatformError
from storage.client import encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"
ME = Bearer(JOB, TASK, 1, str(GUEST), 0)


def test_waits_double_up_to_a_ceiling_and_begin_again() -> None:
    backoff = Backoff(0.1)
    waits = [backoff.next() for _ in range(6)]
    assert all(0.75 * full <= wait <= full for wait, full in zip(waits, [0.02, 0.04, 0.08, 0.1, 0.1, 0.1], strict=True))
    backoff.reset()
    assert backoff.next() <= 0.02


def test_the_newest_subscriber_is_asked() -> None:
    subscribers = Subscribers()
    subscribers.subscribe()
    newest = subscribers.subscribe()
    answered: list[bytes] = []
    asking = threading.Thread(target=lambda: answered.append(subscribers.ask("beta", "m", b"?", 5)))
    asking.start()
    question = newest.questions.get(timeout=5)
    assert question is not None
    assert (question.party, question.method, question.body) == ("beta", "m", b"?")
    subscribers.answered(newest, question.id, b"!", None)
    subscribers.answered(newest, question.id, b"too late", None)
    asking.join(5)
    assert answered == [b"!"]


def test_an_error_a_silence_and_a_departure_are_told_apart() -> None:
    subscribers = Subscribers()
    with pytest.raises(NoSubscriber):
        subscribers.ask("beta", "m", b"", 1)
    subscriber = subscribers.subscribe()
    with pytest.raises(FlowSilent):
        subscribers.ask("beta", "m", b"", 0.01)
    caught: list[PlatformError] = []

    def ask() -> None:
        try:
            subscribers.ask("beta", "m", b"", 5)
        except PlatformError as error:
            caught.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    subscriber.questions.get(timeout=5)
    questions = [subscriber.questions.get(timeout=5) for _ in range(2)]
    assert questions[0] is not None
    subscribers.answered(subscriber, questions[0].id, b"", NotFound("no"))
    threads[0].join(1)
    subscribers.close()
    for thread in threads:
        thread.join(5)
    assert sorted(error.code for error in caught) == ["gateway.no_subscriber", "platform.not_found"]
    assert subscribers.subscribe().questions.get(timeout=1) is None


class Out:
    """Alpha's way out, with what it announced."""

    def __init__(self, home: PartyHome) -> None:
        self.mailbox = MemoryMailbox()
        self.mailbox.open_job(make_contract(JOB, (line("model", "array", "aggregate-sealed"), line("x", "float"))))
        self.left: list[str] = []
        self.came: list[str] = []
        self.outbound = Outbound(
            self.mailbox, PeerBook(home), left=self.left.append, arrived=lambda keys: self.came.extend(keys)
        )

    def queued(self, *, large: bool = False) -> Sequence[Outgoing]:
        return self.mailbox.queued("beta", large=large, after=0, limit=9)


def test_large_and_small_sealed_messages_leave_sealed_to_the_receiver_only(homes: dict[str, PartyHome]) -> None:
    out = Out(homes["alpha"])
    small, large = (encode(np.full(size, 1.5)).to_pybytes() for size in (10, 100_000))
    out.outbound.send(ME, str(HOST), "model", [((1,), small)])
    out.outbound.send_large(ME, str(HOST), "model", (2,), [large[:5], large[5:]])
    out.outbound.send_large(ME, str(HOST), "model", (2,), [b"again"])
    assert out.left == ["beta", "beta"]
    for item, plain in zip([*out.queued(), *out.queued(large=True)], (small, large), strict=True):
        body = item.place.buffer().to_pybytes()
        assert item.envelope.header.sealed
        assert plain[100:140] not in body
        assert unseal(homes["beta"].keys, body, item.envelope.header.keys[0].encode()) == plain
        with pytest.raises(PlatformError):
            unseal(homes["gamma"].keys, body, item.envelope.header.keys[0].encode())


def test_a_bundle_leaves_without_what_left_before(homes: dict[str, PartyHome]) -> None:
    out = Out(homes["alpha"])
    body = encode(1.0).to_pybytes()
    out.outbound.send(ME, str(HOST), "x", [((1,), body)])
    out.outbound.send(ME, str(HOST), "x", [((0,), body), ((1,), body), ((2,), body)])
    assert [[part.step for part in item.envelope.header.parts] for item in out.queued()] == [[(1,)], [(0,), (2,)]]


def test_what_nobody_can_receive_is_refused_at_once(homes: dict[str, PartyHome]) -> None:
    out = Out(homes["alpha"])
    nowhere = line("x", "float", to=frozenset({"host:nowhere"}))
    out.mailbox.open_job(make_contract("J2", (nowhere,)))
    with pytest.raises(PeerUnknown, match="'nowhere'"):
        out.outbound.send(Bearer("J2", TASK, 1, str(GUEST), 0), "host:nowhere", "x", [((0,), encode(1.0).to_pybytes())])
    with pytest.raises(ContractViolation):
        out.outbound.send_large(ME, str(HOST), "x", (1,), [encode(np.zeros(3)).to_pybytes()])
    out.mailbox.close_job(JOB)
    with pytest.raises(JobClosed):
        out.outbound.send(ME, str(HOST), "x", [((1,), b"")])
    assert out.left == out.came == []


class Moody(Link):
    """A line whose peer does what the test says."""

    def __init__(self, book: PeerBook, moods: list[Receipt | PlatformError]) -> None:
        super().__init__(book, "beta")
        self.moods = moods
        self.offered: list[int] = []
        self.over = threading.Event()

    def greet(self) -> None:
        self.answered()

    def put(self, batch: Sequence[Outgoing]) -> list[Receipt]:
        mood = self.moods.pop(0)
        self.offered.append(len(batch))
        if not self.moods:
            self.over.set()
        if isinstance(mood, PlatformError):
            self.failed("moody")
            raise mood
        return [mood] * len(batch)


def test_an_envelope_is_offered_until_it_is_settled(homes: dict[str, PartyHome], tmp_path: Path) -> None:
    out = Out(homes["alpha"])
    body = encode(1.0).to_pybytes()
    later = Receipt(Outcome.LATER, PeerUnreachable("not yet"))
    link = Moody(PeerBook(homes["alpha"]), [PeerUnreachable("gone"), later, Receipt(Outcome.STORED)])
    refused: list[Outgoing] = []
    lane = Lane(link, out.mailbox, Recorder(tmp_path), refused.append, large=False)
    out.outbound.send(ME, str(HOST), "x", [((1,), body)])
    lane.start()
    assert link.over.wait(5)
    while out.mailbox.backlog():
        time.sleep(0.005)
    link.over.clear()
    link.moods = [Receipt(Outcome.REFUSED, ContractViolation("never", hint="why"))]
    out.outbound.send(ME, str(HOST), "x", [((2,), body)])
    lane.wake()
    assert link.over.wait(5)
    while out.mailbox.backlog():
        time.sleep(0.005)
    lane.stop()
    lane.join(5)
    assert link.offered == [1, 1, 1, 1]
    assert [item.envelope.header.parts[0].step for item in refused] == [(2,)]
    error = out.mailbox.refusal(JOB, TASK, 1)
    assert error is not None
    assert "never (gateway.contract_violation)" in str(error)
    assert len(list(tmp_path.glob("*.header"))) == 2


def test_delivery_follows_the_book(homes: dict[str, PartyHome]) -> None:
    book = PeerBook(homes["alpha"])
    delivery = Delivery(book, MemoryMailbox(), Recorder(None), lambda item: None)
    assert [peer.party for peer in delivery.peers()] == ["beta", "gamma"]
    with pytest.raises(PeerUnknown):
        delivery.link("nobody")
    delivery.wake("nobody")
    delivery.stop(0)


def test_waking_reaches_those_who_wait_and_nobody_stays_listed() -> None:
    arrivals = Arrivals()
    with arrivals.waiting(["a", "b"]) as one, arrivals.waiting(["b"]) as two:
        arrivals.arrived(["a", "c"])
        assert (one.is_set(), two.is_set()) == (True, False)
        arrivals.wake_all()
        assert two.is_set()
    assert arrivals._waiting == {}


def test_importing_the_room_starts_nothing() -> None:
    check = (
        "import threading, gateway.client, gateway.server, gateway.wire; from grpc._cython import cygrpc; "
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).parents[3])
