"""Which of several messages an executor is told of, and when it may not ask any more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.envelope import Envelope, Header, Part, Step, unsigned
from gateway.errors import ContractViolation, JobClosed, TokenRefused
from gateway.executors.inbox import Inbox
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.schema import open_database
from gateway.peers import PeerBook
from party.home import PartyHome
from tests.fakes.gateway_parties import GUEST, HOST, TASK, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"
LOSSES = [(str(GUEST), "loss", (step,)) for step in range(4)]


class Reader:
    """Beta's inbox and the token of its host."""

    def __init__(self, home: PartyHome, folder: Path) -> None:
        self.mailbox = MemoryMailbox()
        self.mailbox.open_job(make_contract(JOB))
        self.tokens = Tokens(open_database(folder / "gateway.sqlite"))
        self.inbox = Inbox(self.mailbox, self.tokens, PeerBook(home))
        self.token = self.renewed(0)

    def renewed(self, incarnation: int) -> str:
        return self.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), incarnation))

    def arrive(self, step: int) -> None:
        envelope = loss((step,))
        self.mailbox.put_in(envelope, b"x")
        self.inbox.arrived(envelope.header.keys)

    def expect(self, wait_s: float = 0.0) -> list[int]:
        return self.inbox.expect(self.token, LOSSES, wait_s, lambda leave: None)


def loss(step: Step) -> Envelope:
    digest = sha256(b"x").hexdigest()
    names = {"sender": "alpha", "receiver": "beta", "from": str(GUEST), "to": str(HOST), "job": JOB, "task": TASK}
    about = {"attempt": 1, "tag": "loss", "kind": "float", "protection": "plain-scalar", "sealed": False}
    body = {"size": 1, "sha256": digest, "parts": (Part(step=step, size=1, sha256=digest),)}
    return unsigned(Header.model_validate(names | about | body))


@pytest.fixture
def reader(homes: dict[str, PartyHome], tmp_path: Path) -> Reader:
    return Reader(homes["beta"], tmp_path)


def test_those_that_are_here_are_told_by_their_positions(reader: Reader) -> None:
    assert reader.expect() == []
    reader.arrive(3)
    reader.arrive(1)
    assert reader.expect() == reader.expect(30) == [1, 3]
    reader.inbox.release(Bearer(JOB, TASK, 1, str(HOST), 0), [LOSSES[1]])
    assert reader.expect() == [3]


def test_whoever_waits_for_several_is_woken_by_any(reader: Reader) -> None:
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(reader.expect, 30)
        reader.arrive(2)
        assert told.result(30) == [2]


def test_what_no_line_allows_is_not_told_of(reader: Reader) -> None:
    for incoming in ((str(GUEST), "rows", (1,)), ("host:gamma", "loss", (1,))):
        with pytest.raises(ContractViolation):
            reader.inbox.expect(reader.token, [LOSSES[0], incoming], 0, lambda leave: None)


def test_an_older_incarnation_is_sent_away_while_it_waits(reader: Reader) -> None:
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(reader.expect, 30)
        newer = reader.renewed(1)
        reader.inbox.wake_all()
        with pytest.raises(TokenRefused):
            told.result(30)
    reader.token = newer
    reader.mailbox.close_job(JOB)
    with pytest.raises(JobClosed):
        reader.expect(30)


def test_a_gateway_that_stops_lets_everybody_go(reader: Reader) -> None:
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(reader.expect, 30)
        reader.inbox.stop()
        assert told.result(30) == []
