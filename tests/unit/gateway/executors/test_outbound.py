"""What our own gateway does not let out stands in our own ledger, and neither leaves nor counts as traffic."""

from __future__ import annotations

import numpy as np
import pytest

from gateway import scalars
from gateway.envelope import Step
from gateway.errors import BudgetSpent, ContractViolation
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Bearer
from gateway.mailbox.ledger import unbroken
from gateway.peers import PeerBook
from party.home import PartyHome
from party.ids import Address
from runtime.errors import PlatformError
from storage.client import Value, encode
from tests.fakes.gateway_parties import GUEST, HOST, LINES, TASK, line, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"
TEXT_BYTES = 300


@pytest.fixture(autouse=True)
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a line of texts may carry in an attempt."""
    monkeypatch.setattr(scalars, "MAX_TEXT_BYTES", TEXT_BYTES)


class Sender:
    """Alpha's way out, and one executor of it."""

    def __init__(self, home: PartyHome) -> None:
        self.mailbox = MemoryMailbox()
        says = line("says", "text", "plain-scalar")
        self.mailbox.open_job(make_contract(JOB, (*LINES, says)))
        self.left: list[str] = []
        self.outbound = Outbound(self.mailbox, PeerBook(home), left=self.left.append, arrived=lambda _: None)

    def send(self, tag: str, value: Value, *, to: Address = HOST, step: Step = (0,), large: bool = False) -> None:
        body, bearer = encode(value).to_pybytes(), Bearer(JOB, TASK, 1, str(GUEST), 0)
        if large:
            self.outbound.send_large(bearer, str(to), tag, step, [body])
        else:
            self.outbound.send(bearer, str(to), tag, [(step, body)])

    def told(self) -> list[tuple[bool, str, str]]:
        return [(entry.inward, entry.peer, entry.what) for entry, _ in self.mailbox.ledger()]


@pytest.fixture
def sender(homes: dict[str, PartyHome]) -> Sender:
    return Sender(homes["alpha"])


REFUSED: dict[str, tuple[str, Value, Address, str]] = {
    "a tag that is not in the contract": ("rows", 1.0, HOST, "'rows' is not in the conversation"),
    "somebody who may not have it": ("loss", 1.0, Address.parse("host:gamma"), "may not send tag 'loss' to host:gamma"),
    "a value of another kind": ("loss", np.zeros(3), HOST, "kind array instead of float"),
    "a value that is too large": ("small", np.zeros(1000), HOST, "bytes are more than the 2000"),
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "streamed"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_our_own_gateway_refuses_stands_in_our_ledger_and_does_not_leave(
    sender: Sender, name: str, large: bool
) -> None:
    tag, value, to, says = REFUSED[name]
    with pytest.raises(ContractViolation, match=says):
        sender.send(tag, value, to=to, large=large)
    what = f"refused gateway.contract_violation {TASK}/1/{GUEST}/{to}/{tag}"
    assert sender.told() == [(False, to.party, what)]
    assert unbroken(sender.mailbox.ledger())
    assert (sender.mailbox.backlog(), sender.left, sender.mailbox.traffic(JOB).peers) == ({}, [], {})


def test_what_the_budget_of_a_line_does_not_let_out_stands_in_our_ledger(sender: Sender) -> None:
    sender.send("says", "x" * 200, step=(0,))
    with pytest.raises(BudgetSpent):
        sender.send("says", "x" * 200, step=(1,))
    sent, refused = sender.told()
    assert "refused" not in sent[2]
    assert refused == (False, "beta", f"refused gateway.budget_spent {TASK}/1/{GUEST}/{HOST}/says")
    assert sender.mailbox.backlog() == {"beta": 1}


def test_names_that_an_executor_makes_up_are_shown_without_what_steers_and_are_cut(sender: Sender) -> None:
    with pytest.raises(PlatformError):
        sender.send("\x1b[2J" + "t" * 1000, 1.0)
    ((_, _, what),) = sender.told()
    assert "\x1b" not in what
    assert len(what) < 400
