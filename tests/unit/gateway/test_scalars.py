"""A line of plain scalars carries few, short values, and not for ever."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest

from gateway import scalars
from gateway.contract import ContractLine, contract_from_json, contract_to_json
from gateway.envelope import Envelope, Header, Part, unsigned
from gateway.errors import BadContract, BudgetSpent, ContractViolation
from gateway.scalars import Bill, Cost, Spent, checked_values, spend
from runtime.canonical import canonical_json
from storage.client import Value, decode, encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

RECORD = line("score", "record", "plain-scalar")


def bodies(values: Iterable[Value]) -> list[bytes]:
    return [encode(value).to_pybytes() for value in values]


def test_numbers_and_text_are_counted_and_the_names_once() -> None:
    bill = checked_values(RECORD, bodies([{"loss": 0.5, "rows": 3}, {"loss": 0.5, "rows": 3, "says": "äb"}]))
    assert bill.costs == (Cost(2, 0, "loss\nrows"), Cost(2, 3, "loss\nrows\nsays"))
    assert spend(Spent(), bill) == Spent(4, 3 + 9 + 14, "loss\nrows\nsays")
    again = checked_values(RECORD, bodies([{"loss": 1.0, "rows": 3, "says": ""}]))
    assert spend(spend(Spent(), bill), again) == Spent(6, 26, "loss\nrows\nsays")


def test_bytes_that_are_not_the_one_spelling_of_their_value_are_refused() -> None:
    spelled = encode({"loss": 0.5})
    reader = pa.ipc.open_stream(spelled)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, reader.schema) as writer:
        writer.write_batch(reader.read_next_batch(), custom_metadata={"rows": "income=17"})
    assert decode(sink.getvalue()) == decode(spelled)
    with pytest.raises(ContractViolation, match="hold more than its value"):
        checked_values(RECORD, [sink.getvalue().to_pybytes()])


def test_other_lines_have_no_budget() -> None:
    assert checked_values(line("note", "text"), bodies(["x" * 100_000])) == Bill()


@pytest.mark.parametrize(
    "value",
    [{"a": "x" * 257}, {"n" * 257: 1}, {f"f{n}": n for n in range(65)}],
    ids=["text of a field", "name", "fields"],
)
def test_what_is_long_is_no_scalar(value: Value) -> None:
    with pytest.raises(ContractViolation, match="is plain-scalar, and"):
        checked_values(RECORD, bodies([value]))
    with pytest.raises(ContractViolation, match="is plain-scalar, and"):
        checked_values(line("note", "text", "plain-scalar"), bodies(["x" * 257]))


def test_a_large_message_is_not_even_decoded() -> None:
    with pytest.raises(ContractViolation, match="65537 bytes"):
        checked_values(RECORD, [b"x" * 65_537])


def test_text_hidden_in_names_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "MAX_TEXT_BYTES", 2000)
    spent = Spent()
    for n in range(10):
        spent = spend(spent, Bill("score", (Cost(1, 0, f"{n:0200}"),)))
    with pytest.raises(BudgetSpent, match="'score' is plain-scalar"):
        spend(spent, Bill("score", (Cost(1, 0, "more"),)))


@pytest.mark.parametrize("way", ["out", "in"])
def test_much_text_does_not_pass_in_scalars(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "MAX_TEXT_BYTES", 1000)
    mailbox = MemoryMailbox()
    mailbox.open_job(make_contract("J", (line("t", "text", "plain-scalar"),)))
    (body,) = bodies(["x" * 256])
    bill = Bill("t", (Cost(0, 256, ""),))

    def keep(n: int) -> bool:
        envelope = _envelope(body, n)
        return mailbox.put_out(envelope, body, "beta", bill) if way == "out" else mailbox.put_in(envelope, body, bill)

    assert [keep(n) for n in range(3)] == [True] * 3
    with pytest.raises(BudgetSpent):
        keep(3)
    assert not keep(2)  # what came before may come again
    assert mailbox.find(_envelope(body, 3).header.keys[0]) is None
    assert mailbox.backlog() == ({"beta": 3} if way == "out" else {})


def test_numbers_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "MAX_NUMBERS", 10)
    bill = checked_values(RECORD, bodies([{"a": 1, "b": 2.0, "c": None}]))
    spent = spend(spend(spend(Spent(), bill), bill), bill)
    with pytest.raises(BudgetSpent, match="12 numbers"):
        spend(spent, bill)


def test_a_stored_contract_that_says_how_much_text_a_line_carries_opens_as_one_that_does_not() -> None:
    contract = make_contract("J", (ContractLine("t", frozenset(), frozenset(), "text", 9, "plain-scalar"),))
    values = contract_to_json(contract)
    assert contract_from_json(canonical_json(values)) == contract
    values["tasks"][TASK][0]["text_bytes"] = 1 << 20  # type: ignore[index]
    assert contract_from_json(canonical_json(values)) == contract


@pytest.mark.parametrize("wrong", [-1, 1.5, True, 10**17, "7"])
def test_the_bytes_of_a_line_are_a_number(wrong: object) -> None:
    values = contract_to_json(make_contract())
    values["tasks"][TASK][0]["max_bytes"] = wrong  # type: ignore[index]
    with pytest.raises(BadContract, match="is not a number of bytes"):
        contract_from_json(canonical_json(values))


def _envelope(body: bytes, n: int) -> Envelope:
    digest = sha256(body).hexdigest()
    return unsigned(
        Header.model_validate(
            {
                "sender": "alpha", "receiver": "beta", "job": "J", "task": TASK, "attempt": 1, "from": str(GUEST),
                "to": str(HOST), "tag": "t", "kind": "text", "protection": "plain-scalar", "sealed": False,
                "size": len(body), "sha256": digest, "parts": (Part(step=(n,), size=len(body), sha256=digest),),
            }
        )
    )  # fmt: skip


def test_what_is_no_scalar_is_refused_by_its_kind() -> None:
    for value, says in (({"a": np.zeros(3)}, "holds array"), (0.5, "kind float instead of record")):
        with pytest.raises(ContractViolation, match=says):
            checked_values(RECORD, bodies([value]))
