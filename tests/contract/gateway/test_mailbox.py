"""Every body of the mailbox keeps the same promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.envelope import Envelope, Header, Part, unsigned
from gateway.errors import (
    ContractChanged,
    JobClosed,
    JobNotOpen,
    KeyChanged,
    MessageConflict,
    MessageGone,
    MessageRefused,
)
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.ledger import PeerTraffic
from gateway.mailbox.schema import open_database
from gateway.mailbox.store import LARGE_BYTES, Mailbox, Spool
from gateway.scalars import Bill
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"
BIG = b"b" * (LARGE_BYTES + 1)
MIDDLE = b"m" * 100_000


def make_disk(folder: Path, durability: str = "process") -> DiskMailbox:
    folder.mkdir(exist_ok=True)
    return DiskMailbox(folder / "mailbox", open_database(folder / "gateway.sqlite", durability), durability)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "disk", "disk-power"])
def mailbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mailbox]:
    bodies: dict[str, Callable[[], Mailbox]] = {
        "memory": MemoryMailbox,
        "disk": lambda: make_disk(tmp_path),
        "disk-power": lambda: make_disk(tmp_path, "power"),
    }
    made = bodies[request.param]()
    made.open_job(make_contract(JOB))
    yield made
    made.close()


def envelope(*bodies: bytes, step: int = 1, job: str = JOB, inward: bool = False) -> Envelope:
    frm, to = (HOST, GUEST) if inward else (GUEST, HOST)
    parts = [Part(step=(step, n), size=len(b), sha256=sha256(b).hexdigest()) for n, b in enumerate(bodies)]
    body = b"".join(bodies)
    return unsigned(
        Header.model_validate(
            {
                "sender": frm.party,
                "receiver": to.party,
                "job": job,
                "task": TASK,
                "attempt": 1,
                "from": str(frm),
                "to": str(to),
                "tag": "update",
                "kind": "array",
                "protection": "plain",
                "sealed": False,
                "size": len(body),
                "sha256": sha256(body).hexdigest(),
                "parts": tuple(parts),
            }
        )
    )


def read(mailbox: Mailbox, key: str) -> bytes | None:
    message = mailbox.find(key)
    return None if message is None else message.place.buffer().to_pybytes()


def spooled(mailbox: Mailbox, *pieces: bytes, name: str = "") -> Spool:
    spool = mailbox.spool(name)
    for piece in pieces:
        spool.write(piece)
    return spool


@pytest.mark.parametrize("body", [b"small", MIDDLE, BIG], ids=["small", "middle", "big"])
def test_what_comes_in_is_read_until_it_is_released(mailbox: Mailbox, body: bytes) -> None:
    came = envelope(body, inward=True)
    key = came.header.keys[0]
    assert mailbox.find(key) is None
    assert mailbox.present([key]) == set()
    assert mailbox.put_in(came, spooled(mailbox, body[:3], body[3:]))
    assert read(mailbox, key) == read(mailbox, key) == body
    assert mailbox.present(["other", key]) == {key}
    message = mailbox.find(key)
    assert message is not None
    assert (message.key, message.frm, message.sealed) == (key, str(HOST), False)
    mailbox.release([key, "unknown"])
    with pytest.raises(MessageGone):
        mailbox.find(key)
    assert mailbox.find("unknown") is None
    assert mailbox.present([key]) == set()
    mailbox.release([key])


def test_the_same_again_is_known_even_after_release_and_another_body_is_a_conflict(mailbox: Mailbox) -> None:
    came = envelope(b"one", inward=True)
    assert not mailbox.held(came)
    assert mailbox.put_in(came, b"one")
    assert mailbox.held(came)
    assert not mailbox.put_in(came, b"one")
    mailbox.release(came.header.keys)
    assert not mailbox.put_in(came, b"one")
    assert mailbox.present(came.header.keys) == set()
    other = envelope(b"two", inward=True)
    with pytest.raises(MessageConflict, match=came.header.keys[0]):
        mailbox.held(other)
    with pytest.raises(MessageConflict):
        mailbox.put_in(other, b"two")


def test_parts_are_read_and_released_one_by_one(mailbox: Mailbox) -> None:
    bodies = [b"first", b"", MIDDLE]
    came = envelope(*bodies, inward=True)
    mailbox.put_in(came, b"".join(bodies))
    for key, body in zip(came.header.keys, bodies, strict=True):
        assert read(mailbox, key) == body
    mailbox.release(came.header.keys[:2])
    assert mailbox.present(came.header.keys) == {came.header.keys[2]}
    assert read(mailbox, came.header.keys[2]) == MIDDLE
    mailbox.release(came.header.keys)
    assert mailbox.present(came.header.keys) == set()


def test_parts_that_came_before_keep_their_first_place(mailbox: Mailbox) -> None:
    mailbox.put_in(envelope(b"a", inward=True), b"a")
    both = envelope(b"a", b"b", inward=True)
    assert not mailbox.held(both)
    assert mailbox.put_in(both, b"ab")
    assert [read(mailbox, key) for key in both.header.keys] == [b"a", b"b"]
    assert mailbox.held(both)


def test_the_first_write_of_a_key_wins_in_the_outbox(mailbox: Mailbox) -> None:
    assert mailbox.put_out(envelope(b"one"), b"one", "beta")
    assert not mailbox.put_out(envelope(b"two"), b"two", "beta")
    assert mailbox.taken([*envelope(b"one").header.keys, "other"]) == set(envelope(b"one").header.keys)
    queued = mailbox.queued("beta", large=False, after=0, limit=10)
    assert [item.place.buffer().to_pybytes() for item in queued] == [b"one"]
    mailbox.delivered([queued[0].sequence])
    assert mailbox.queued("beta", large=False, after=0, limit=10) == []
    assert not mailbox.put_out(envelope(b"two"), b"two", "beta")


def test_the_queue_keeps_order_by_peer_and_size(mailbox: Mailbox) -> None:
    for step in (1, 2, 3):
        mailbox.put_out(envelope(b"x", step=step), b"x", "beta")
    mailbox.put_out(envelope(BIG, step=4), spooled(mailbox, BIG), "beta")
    mailbox.put_out(envelope(b"x", step=5), b"x", "gamma")
    small = mailbox.queued("beta", large=False, after=0, limit=2)
    assert [item.envelope.header.parts[0].step[0] for item in small] == [1, 2]
    rest = mailbox.queued("beta", large=False, after=small[-1].sequence, limit=2)
    assert [item.envelope.header.parts[0].step[0] for item in rest] == [3]
    large = mailbox.queued("beta", large=True, after=0, limit=5)
    assert [item.place.buffer().to_pybytes() for item in large] == [BIG]
    assert mailbox.backlog() == {"beta": 4, "gamma": 1}
    mailbox.delivered([large[0].sequence, small[0].sequence])
    assert mailbox.backlog() == {"beta": 2, "gamma": 1}


def test_a_message_for_ourselves_goes_straight_to_the_inbox(mailbox: Mailbox) -> None:
    own = envelope(b"own")
    assert mailbox.put_out(own, b"own", None)
    assert read(mailbox, own.header.keys[0]) == b"own"
    assert not mailbox.put_out(envelope(b"again"), b"again", None)
    assert mailbox.backlog() == {}
    assert mailbox.traffic(JOB).peers == {}


def test_a_job_that_is_not_open_takes_nothing(mailbox: Mailbox) -> None:
    foreign = envelope(b"x", job="OTHER", inward=True)
    for refused in (
        lambda: mailbox.put_in(foreign, b"x"),
        lambda: mailbox.held(foreign),
        lambda: mailbox.put_out(envelope(b"x", job="OTHER"), b"x", "beta"),
        lambda: mailbox.contract("OTHER"),
    ):
        with pytest.raises(JobNotOpen, match="OTHER"):
            refused()


def test_a_job_may_be_opened_again_with_the_same_contract_only(mailbox: Mailbox) -> None:
    mailbox.open_job(make_contract(JOB))
    with pytest.raises(ContractChanged):
        mailbox.open_job(make_contract(JOB, (line("other", "float"),)))
    assert mailbox.jobs() == [JOB]
    assert mailbox.contract(JOB) == make_contract(JOB)


def test_closing_a_job_empties_it_and_sums_what_passed(mailbox: Mailbox) -> None:
    mailbox.put_out(envelope(b"out"), b"out", "beta")
    mailbox.put_out(envelope(BIG, step=2), spooled(mailbox, BIG), "beta")
    came = envelope(MIDDLE, b"x", inward=True)
    mailbox.put_in(came, MIDDLE + b"x")
    traffic = mailbox.close_job(JOB)
    assert traffic.peers == {"beta": PeerTraffic(2, 3 + len(BIG), 2, len(MIDDLE) + 1)}
    assert mailbox.close_job(JOB) == traffic
    assert mailbox.jobs() == []
    assert mailbox.backlog() == {}
    assert mailbox.find(came.header.keys[0]) is None
    for refused in (
        lambda: mailbox.put_in(came, b"x"),
        lambda: mailbox.held(came),
        lambda: mailbox.open_job(make_contract(JOB)),
        lambda: mailbox.contract(JOB),
    ):
        with pytest.raises(JobClosed):
            refused()


def test_a_refusal_is_remembered_for_its_attempt(mailbox: Mailbox) -> None:
    mailbox.put_out(envelope(b"x"), b"x", "beta")
    (item,) = mailbox.queued("beta", large=False, after=0, limit=1)
    mailbox.refused(item, MessageRefused("beta said no", hint="ask them"))
    assert mailbox.backlog() == {}
    error = mailbox.refusal(JOB, TASK, 1)
    assert isinstance(error, MessageRefused)
    assert (error.message, error.hint) == ("beta said no", "ask them")
    assert mailbox.refusal(JOB, TASK, 2) is None


def test_a_named_spool_goes_on_where_it_was_left(mailbox: Mailbox) -> None:
    first = spooled(mailbox, b"abc", name="JOB.1")
    first.keep()
    assert mailbox.half_bodies() == ["JOB.1"]
    second = mailbox.spool("JOB.1")
    assert second.size == 3
    second.write(b"def")
    assert second.hexdigest() == sha256(b"abcdef").hexdigest()
    assert second.buffer().to_pybytes() == b"abcdef"
    second.abandon()
    third = mailbox.spool("JOB.1")
    assert third.size == 0
    assert third.buffer().to_pybytes() == b""
    third.abandon()
    assert mailbox.half_bodies() == []


def test_calls_stand_in_the_ledger_but_in_no_job(mailbox: Mailbox) -> None:
    mailbox.record_call("beta", "propose", 10, "00" * 32, inward=True)
    assert mailbox.traffic("").peers.get("beta", PeerTraffic()) in (PeerTraffic(), PeerTraffic(0, 0, 1, 10))
    assert mailbox.traffic(JOB).peers == {}


def test_an_attempt_has_one_key_of_each_owner_both_ways(mailbox: Mailbox) -> None:
    one, other = (Bill(keys=frozenset({("guest:alpha", key * 64)})) for key in ("1", "2"))
    assert mailbox.put_in(envelope(b"1", inward=True), b"1", one)
    assert mailbox.put_out(envelope(b"1"), b"1", "beta", one)
    assert not mailbox.put_out(envelope(b"1"), b"1", "beta", other), "what came before may come again"
    for keep in (
        lambda: mailbox.put_in(envelope(b"2", step=2, inward=True), b"2", other),
        lambda: mailbox.put_out(envelope(b"2", step=2), b"2", "beta", other),
    ):
        with pytest.raises(KeyChanged):
            keep()
    assert mailbox.find(envelope(b"2", step=2, inward=True).header.keys[0]) is None
    header = envelope(b"3", step=3).header.model_copy(update={"attempt": 2})
    assert mailbox.put_out(unsigned(header), b"3", "beta", other), "an attempt may have keys of its own"
