"""Delivery goes on: past a damaged body, a fault of the disk, an expired card, a peer that came late."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import grpc
import pytest

from gateway.calls.calls import Calls
from gateway.errors import BadEnvelope, PeerDistrustsUs, PeerNotListening, PeerRefused, PeerUnreachable
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Bearer
from gateway.mailbox.store import Outgoing, Place
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.transfer.delivery import Delivery, Lane
from gateway.transfer.link import Link, Outcome, Receipt
from party.card import Card, make_card
from party.errors import CardExpired
from party.home import PartyHome
from party.ids import party_id
from party.keys import make_keys
from runtime.errors import PlatformError, ServiceFault
from runtime.problems import packed, problem_of
from storage.client import encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract, make_homes
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"


class Taker(Link):
    """A line whose peer takes everything."""

    def __init__(self, book: PeerBook) -> None:
        super().__init__(book, "beta")
        self.took: list[int] = []

    def greet(self) -> None:
        self.answered()

    def put(self, batch: Sequence[Outgoing]) -> list[Receipt]:
        self.took += [item.sequence for item in batch]
        return [Receipt(Outcome.STORED)] * len(batch)


def queued_mailbox(home: PartyHome, messages: int) -> MemoryMailbox:
    mailbox = MemoryMailbox()
    mailbox.open_job(make_contract(JOB, (line("x", "float"),)))
    outbound = Outbound(mailbox, PeerBook(home), left=lambda party: None, arrived=lambda keys: None)
    for n in range(messages):
        outbound.send(Bearer(JOB, TASK, 1, str(GUEST), 0), str(HOST), "x", [((n,), encode(float(n)).to_pybytes())])
    return mailbox


def delivered(lane: Lane, mailbox: MemoryMailbox) -> None:
    lane.start()
    deadline = time.monotonic() + 5
    while mailbox.backlog() and time.monotonic() < deadline:
        time.sleep(0.005)
    lane.stop()
    lane.join(5)
    assert mailbox.backlog() == {}


DAMAGE: dict[str, tuple[Callable[[Place], Place], str]] = {
    "missing": (lambda place: Place(place.size, path=Path("/nonexistent/body")), "its body is missing"),
    "short": (lambda place: Place(place.size, place.data[:-1]), "its body has"),
    "changed": (lambda place: Place(place.size, bytes(place.size)), "its body is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_body_is_refused_and_the_others_go_on(homes: dict[str, PartyHome], name: str) -> None:
    damage, says = DAMAGE[name]
    mailbox, link = queued_mailbox(homes["alpha"], 3), Taker(PeerBook(homes["alpha"]))
    peer, item = mailbox._queue[2]
    mailbox._queue[2] = (peer, replace(item, place=damage(item.place)))
    refused: list[Outgoing] = []
    delivered(Lane(link, mailbox, Recorder(None), refused.append, large=False), mailbox)
    assert link.took == [1, 3]
    assert [item.sequence for item in refused] == [2]
    error = mailbox.refusal(JOB, TASK, 1)
    assert error is not None
    assert says in error.message


@pytest.mark.parametrize("fault", [sqlite3.OperationalError("locked"), OSError("no"), ValueError("bad row")])
def test_a_lane_outlives_a_fault_of_its_host(
    homes: dict[str, PartyHome], fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, link = queued_mailbox(homes["alpha"], 1), Taker(PeerBook(homes["alpha"]))
    faults, queued = [fault] * 3, mailbox.queued

    def faulty(peer: str, *, large: bool, after: int, limit: int) -> list[Outgoing]:
        if faults:
            raise faults.pop()
        return queued(peer, large=large, after=after, limit=limit)

    monkeypatch.setattr(mailbox, "queued", faulty)
    delivered(Lane(link, mailbox, Recorder(None), lambda item: None, large=False), mailbox)
    assert link.took == [1]


def lanes_started(delivery: Delivery, party: str) -> list[bool]:
    return [lane.started for lane in delivery._lanes[party]]


def test_lanes_start_whenever_the_peer_becomes_known(tmp_path: Path) -> None:
    home = make_homes(tmp_path)["alpha"]
    keys = make_keys(party_id("quiet"))
    trusted = home.root / "trusted" / "quiet.json"
    trusted.write_bytes(make_card(keys, party_id("quiet"), ()).to_json())
    book = PeerBook(home)
    delivery = Delivery(book, MemoryMailbox(), Recorder(None), lambda item: None)
    delivery.link("beta")  # its hello came before the start
    assert lanes_started(delivery, "beta") == [False, False]
    delivery.start()
    assert lanes_started(delivery, "beta") == [True, True]
    assert lanes_started(delivery, "quiet") == [False, False]
    trusted.write_bytes(make_card(keys, party_id("quiet"), ("127.0.0.1:1",)).to_json())
    book.reload()
    delivery.reload()
    assert lanes_started(delivery, "quiet") == [True, True]
    delivery.stop(2)


def test_an_expired_card_takes_nobody_else_down(homes: dict[str, PartyHome], monkeypatch: pytest.MonkeyPatch) -> None:
    book = PeerBook(homes["alpha"])
    delivery = Delivery(book, MemoryMailbox(), Recorder(None), lambda item: None)
    delivery.link("beta").seen()
    card = book.card

    def expired(party: str) -> Card:
        if party == "beta":
            raise CardExpired("The card of beta is over.")
        return card(party)

    monkeypatch.setattr(book, "card", expired)
    delivery.reload()
    beta, gamma = delivery.peers()
    assert (beta.party, beta.state, gamma.party, gamma.problem) == ("beta", "not-valid", "gamma", "")
    assert "is over" in beta.problem
    assert beta.last_seen_s > 0


class Failed(grpc.RpcError):
    """A call that ended with these details."""

    def __init__(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("answer", "named", "up"),
    [
        (packed(BadEnvelope("no")), BadEnvelope, True),
        (packed(ServiceFault("no")), ServiceFault, True),
        (packed(PeerRefused("who?")), PeerDistrustsUs, False),
        ("connection reset", PeerUnreachable, False),
    ],
)
def test_what_the_far_handler_answers_does_not_take_the_line_down(
    homes: dict[str, PartyHome], monkeypatch: pytest.MonkeyPatch, answer: str, named: type[PlatformError], up: bool
) -> None:
    def put(*_: object, **__: object) -> None:
        raise Failed(answer)

    link = Link(PeerBook(homes["alpha"]), "beta")
    link.answered()
    monkeypatch.setattr(link, "_transfer", lambda: SimpleNamespace(Put=put))
    with pytest.raises(named):
        link.put([])
    assert link.up is up


@pytest.mark.parametrize("text", ["%", "\N{SNOWMAN}", "\N{GRINNING FACE}", '"', "\n", "\x7f", "x"])
def test_an_error_of_any_length_fits_into_the_status_details(text: str) -> None:
    problem = problem_of(PlatformError(text * 9000, hint=text * 9000))
    assert len(quote(json.dumps(vars(problem)), safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")) < 4096
    assert problem.message
    assert set(problem.message) == set(problem.hint) == set(text)
    assert problem_of(PlatformError(text * 100, hint=text)).message == text * 100


def test_calls_and_their_answers_are_in_both_ledgers(homes: dict[str, PartyHome]) -> None:
    class Asked:
        def ask(self, party: str, method: str, body: bytes, timeout_s: float, on_gone: object) -> bytes:
            if method == "fail":
                raise BadEnvelope("no")
            return body * 2

    ends = {}
    for name in ("alpha", "beta"):
        mailbox = MemoryMailbox()

        def line(party: str) -> object:
            def call(letter: object, timeout_s: float) -> object:
                return ends[party][0].answer(homes["alpha"].card, letter, timeout_s, lambda leave: True)

            return SimpleNamespace(call=call, clock_ahead_ms=0)

        ends[name] = (Calls(PeerBook(homes[name]), mailbox, Asked(), Recorder(None), line), mailbox)  # type: ignore[arg-type]
    assert ends["alpha"][0].call("beta", "propose", b"abc", 1) == b"abcabc"
    with pytest.raises(BadEnvelope):
        ends["alpha"][0].call("beta", "fail", b"abc", 1)
    for name, calls_go_in in (("alpha", False), ("beta", True)):
        entries = [entry for entry, _ in ends[name][1]._ledger]
        assert [(entry.what, entry.inward, entry.size) for entry in entries] == [
            ("call/propose", calls_go_in, 3),
            ("call/propose.answer", not calls_go_in, 6),
            ("call/fail", calls_go_in, 3),
            ("call/fail.answer", not calls_go_in, 0),
        ]


def test_a_call_that_fails_does_not_wait_for_the_look_at_why(
    homes: dict[str, PartyHome], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, looking = threading.Event(), threading.Event()

    def diagnose(*_: object) -> PeerUnreachable:
        looking.set()
        told.wait(30)
        return PeerNotListening("Nobody listens.")

    link = Link(PeerBook(homes["alpha"]), "beta", diagnose)
    first = link.unreachable()
    link.failed(first)
    assert looking.wait(30)
    assert type(link.unreachable()) is type(first) is PeerUnreachable
    told.set()
    for thread in threading.enumerate():
        if thread.name == "gateway-diagnosis-beta":
            thread.join(30)
    assert link.status(0).problem == "Nobody listens."
    assert isinstance(link.unreachable(), PeerNotListening)


def test_a_peer_that_is_up_and_whose_clock_is_wrong_is_named(homes: dict[str, PartyHome]) -> None:
    link = Link(PeerBook(homes["alpha"]), "beta")
    link.answered()
    link._clock_ahead_ms = 59_000
    assert link.status(0).problem == ""
    link._clock_ahead_ms = -3_600_000
    shown = link.status(0)
    assert (shown.state, shown.code) == ("up", "gateway.clocks_differ")
    assert (shown.problem, shown.remedy) == (
        "The clock of beta is 1 h behind ours.",
        "Set the clock that is wrong (by NTP).",
    )
