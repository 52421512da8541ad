"""How much may pass in a whole job: a line's budget for each attempt that its receiver has begun, and once more."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from gateway import scalars
from gateway.envelope import Header, Part, signed
from gateway.errors import AttemptNotOpen, BudgetSpent
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.schema import open_database
from gateway.peers import PeerBook
from gateway.transfer.inbound import Inbound
from party.home import PartyHome
from runtime.bounds import MAX_ATTEMPTS
from storage.client import encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract

JOB, TAG, TEXT = "JOB", "says", "x" * 200
BODY = encode(TEXT).to_pybytes()


@pytest.fixture(autouse=True)
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a line of texts may carry in an attempt."""
    monkeypatch.setattr(scalars, "MAX_TEXT_BYTES", len(TEXT))


class Receiver:
    """Beta's gateway, whose contract allows one text in an attempt, and alpha, who sends as much as it can."""

    def __init__(self, homes: dict[str, PartyHome], folder: Path) -> None:
        self._homes = homes
        self._folder = folder
        self.taken: Counter[int] = Counter()
        self.start()
        says = line(TAG, "text", "plain-scalar")
        self._mailbox.open_job(make_contract(JOB, (says,)))

    def start(self) -> None:
        """As a start of the gateway makes it."""
        database = open_database(self._folder / "gateway.sqlite")
        self._mailbox = DiskMailbox(self._folder, database)
        self._tokens = Tokens(database)
        newest = self._tokens.newest_attempt
        book = PeerBook(self._homes["beta"])
        self._inbound = Inbound(self._mailbox, book, newest_attempt=newest, arrived=lambda _: None)

    def restart(self) -> None:
        self._mailbox.close()
        self.start()

    def begin(self, attempt: int) -> None:
        self._tokens.issue(Bearer(JOB, TASK, attempt, str(HOST), 0))

    def offer(self, attempt: int, step: int) -> None:
        digest = sha256(BODY).hexdigest()
        names = {"sender": "alpha", "receiver": "beta", "from": str(GUEST), "to": str(HOST), "job": JOB, "task": TASK}
        about = {"attempt": attempt, "tag": TAG, "kind": "text", "protection": "plain-scalar", "sealed": False}
        part = Part(step=(step,), size=len(BODY), sha256=digest)
        header = Header.model_validate(names | about | {"size": len(BODY), "sha256": digest, "parts": (part,)})
        alpha = self._homes["alpha"]
        try:
            self.taken[attempt] += self._inbound.accept(alpha.card, signed(alpha.keys, header), BODY)
        except (BudgetSpent, AttemptNotOpen):
            self.taken[attempt] += 0


def test_a_line_carries_its_budget_for_each_attempt_begun_here_and_once_more_whatever_is_sent(
    homes: dict[str, PartyHome], tmp_path: Path
) -> None:
    receiver = Receiver(homes, tmp_path)
    begun = 3
    for attempt in range(1, begun + 1):
        receiver.begin(attempt)
    for step in range(3):
        for attempt in (*range(1, begun + 5), MAX_ATTEMPTS):
            receiver.offer(attempt, step)
        receiver.restart()
    assert {attempt for attempt, count in receiver.taken.items() if count} == set(range(1, begun + 2))
    assert receiver.taken.total() == begun + 1
