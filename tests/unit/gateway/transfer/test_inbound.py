"""Everything that another party may try is refused before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from gateway.envelope import Envelope, Header, Part, parse_envelope, signed
from gateway.errors import (
    AttemptNotOpen,
    BadEnvelope,
    ContractViolation,
    DeliveryCut,
    JobClosed,
    JobNotOpen,
    ManifestsDiffer,
    MessageConflict,
    MessageRefused,
    PeerRefused,
    TokenRefused,
)
from gateway.executors.inbox import Inbox
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.ledger import unbroken
from gateway.mailbox.refusals import Refusals
from gateway.mailbox.schema import open_database
from gateway.peers import PeerBook
from gateway.transfer.inbound import MAX_HALVES, Inbound
from party.errors import BadSignature
from party.home import PartyHome
from party.seal import seal
from runtime.errors import InvalidInput
from storage.client import Value, decode, encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract
from tests.fakes.memory_mailbox import MemoryMailbox

JOB = "JOB"


class Beta:
    """The inbound side of beta, what its executors read, and alpha's hand to write to it."""

    def __init__(self, homes: dict[str, PartyHome], folder: Path) -> None:
        self.homes = homes
        self.mailbox = MemoryMailbox()
        self.mailbox.open_job(make_contract(JOB))
        self.tokens = Tokens(open_database(folder / "gateway.sqlite"))
        self.book = PeerBook(homes["beta"])
        self.inbox = Inbox(self.mailbox, self.tokens, self.book)
        self.inbound = self.started()
        self.alpha = homes["alpha"].card

    def started(self) -> Inbound:
        """The way in as a start of the gateway makes it."""
        newest = self.tokens.newest_attempt
        return Inbound(self.mailbox, self.book, newest_attempt=newest, arrived=self.inbox.arrived)

    def envelope(self, body: bytes, *, signer: str = "alpha", **changes: object) -> Envelope:
        digest = sha256(body).hexdigest()
        fields: dict[str, object] = {
            "sender": "alpha",
            "receiver": "beta",
            "job": JOB,
            "task": TASK,
            "attempt": 1,
            "from": str(GUEST),
            "to": str(HOST),
            "tag": "loss",
            "kind": "float",
            "protection": "plain-scalar",
            "sealed": False,
            "size": len(body),
            "sha256": digest,
            "parts": (Part(step=(1,), size=len(body), sha256=digest),),
        }
        return signed(self.homes[signer].keys, Header.model_validate(fields | changes))

    def take(self, token: str, tag: str = "loss", wait_s: float = 0.0) -> Value:
        message = self.inbox.take(token, (str(GUEST), tag, (1,)), wait_s, lambda leave: None)
        assert message is not None
        return decode(self.inbox.open(message).buffer())


@pytest.fixture
def beta(homes: dict[str, PartyHome], tmp_path: Path) -> Beta:
    return Beta(homes, tmp_path)


def body(value: Value = 1.0) -> bytes:
    encoded: bytes = encode(value).to_pybytes()
    return encoded


def test_a_good_envelope_is_kept_once_and_read(beta: Beta) -> None:
    envelope = beta.envelope(body())
    assert beta.inbound.accept(beta.alpha, envelope, body())
    assert not beta.inbound.accept(beta.alpha, envelope, body())
    token = beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    assert beta.take(token) == 1.0


WRONG: dict[str, tuple[Callable[[Beta], Envelope], type[Exception], str]] = {
    "signed by another party": (lambda b: b.envelope(body(), signer="gamma"), BadSignature, "not signed by alpha"),
    "from another party": (
        lambda b: b.envelope(body(), sender="gamma", **{"from": "host:gamma"}), PeerRefused, "envelope of gamma",
    ),
    "for another party": (
        lambda b: b.envelope(body(), receiver="gamma", to="host:gamma"), PeerRefused, "an envelope for gamma",
    ),
    "of another job": (lambda b: b.envelope(body(), job="OTHER"), JobNotOpen, "OTHER"),
    "of another task": (lambda b: b.envelope(body(), task="other"), ContractViolation, "task 'other'"),
    "of another kind": (lambda b: b.envelope(body(), kind="array"), ContractViolation, "kind or protection"),
    "under another manifest": (
        lambda b: b.envelope(body(), manifest="cd" * 32), ManifestsDiffer,
        "open under manifest abababababab at beta and under cdcdcdcdcdcd at alpha",
    ),
    "less protected": (lambda b: b.envelope(body(), protection="plain"), ContractViolation, "kind or protection"),
    "sealed for no reason": (lambda b: b.envelope(body(), sealed=True), ContractViolation, "sealed=True"),
    "too large": (lambda b: b.envelope(bytes(5000)), ContractViolation, "5000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_envelope_is_refused_and_nothing_is_kept(beta: Beta, name: str) -> None:
    make, error, says = WRONG[name]
    envelope = make(beta)
    with pytest.raises(error, match=says):
        beta.inbound.accept(beta.alpha, envelope, body())
    with pytest.raises(error, match=says):
        beta.inbound.standing(beta.alpha, envelope)
    with pytest.raises(error, match=says):
        beta.inbound.deliver(beta.alpha, envelope, 0, [body()])
    assert beta.mailbox.find(envelope.header.keys[0]) is None
    assert beta.mailbox.traffic(JOB).peers == {}


def test_a_header_changed_after_it_was_signed_is_refused(beta: Beta) -> None:
    envelope = beta.envelope(body())
    changed = envelope.canonical.replace(b'"attempt":1', b'"attempt":2')
    with pytest.raises(BadSignature):
        beta.inbound.accept(beta.alpha, parse_envelope(changed, envelope.signature), body())


def test_a_body_that_is_not_the_signed_one_is_refused(beta: Beta) -> None:
    for wrong in (body(2.0), body()[:-1], b""):
        with pytest.raises(BadEnvelope, match="does not match"):
            beta.inbound.accept(beta.alpha, beta.envelope(body()), wrong)
    with pytest.raises(BadEnvelope, match="does not match"):
        beta.inbound.deliver(beta.alpha, beta.envelope(body()), 0, [body(2.0)])


def test_what_a_body_holds_is_compared_with_the_contract(beta: Beta) -> None:
    smuggled = body({"loss": np.zeros(3)})
    for keep in (beta.inbound.accept, lambda card, env, data: beta.inbound.deliver(card, env, 0, [data])):
        with pytest.raises(ContractViolation, match="kind record instead of float"):
            keep(beta.alpha, beta.envelope(smuggled), smuggled)


def test_another_body_under_the_same_key_is_a_conflict(beta: Beta) -> None:
    beta.inbound.accept(beta.alpha, beta.envelope(body(1.0)), body(1.0))
    with pytest.raises(MessageConflict):
        beta.inbound.accept(beta.alpha, beta.envelope(body(2.0)), body(2.0))
    with pytest.raises(MessageConflict):
        beta.inbound.standing(beta.alpha, beta.envelope(body(2.0)))


def test_a_delivery_goes_on_where_it_was_cut(beta: Beta) -> None:
    data = body()
    envelope = beta.envelope(data)
    assert beta.inbound.standing(beta.alpha, envelope) == 0
    with pytest.raises(DeliveryCut, match=f"after 10 of {len(data)} bytes"):
        beta.inbound.deliver(beta.alpha, envelope, 0, [data[:10]])
    assert beta.inbound.standing(beta.alpha, envelope) == 10
    with pytest.raises(DeliveryCut, match="goes on at byte 5, but 10"):
        beta.inbound.deliver(beta.alpha, envelope, 5, [data[5:]])
    assert beta.inbound.deliver(beta.alpha, envelope, 10, [data[10:]])
    assert beta.inbound.standing(beta.alpha, envelope) is None


def test_half_bodies_from_before_a_restart_are_counted_and_those_of_no_job_deleted(beta: Beta) -> None:
    def cut(inbound: Inbound, step: int) -> Envelope:
        data = body(float(step))
        part = Part(step=(step,), size=len(data), sha256=sha256(data).hexdigest())
        envelope = beta.envelope(data, parts=(part,))
        with pytest.raises(DeliveryCut):
            inbound.deliver(beta.alpha, envelope, 0, [data[:10]])
        return envelope

    first = cut(beta.inbound, 0)
    for step in range(1, MAX_HALVES):
        cut(beta.inbound, step)
    for name in ("ENDED.alpha.1", f"{JOB}.{'0' * 64}"):
        beta.mailbox.spool(name).keep()
    again = beta.started()
    assert len(beta.mailbox.half_bodies()) == MAX_HALVES
    assert again.standing(beta.alpha, first) == 10
    cut(again, MAX_HALVES)
    assert len(beta.mailbox.half_bodies()) == MAX_HALVES
    assert again.standing(beta.alpha, first) == 0


def test_more_bytes_than_the_header_names_are_not_written(beta: Beta) -> None:
    data = body()
    with pytest.raises(BadEnvelope, match="More bytes"):
        beta.inbound.deliver(beta.alpha, beta.envelope(data), 0, [data, b"x"])


def test_a_damaged_first_half_is_begun_again_from_the_first_byte(beta: Beta) -> None:
    data = body()
    envelope = beta.envelope(data)
    with pytest.raises(DeliveryCut):
        beta.inbound.deliver(beta.alpha, envelope, 0, [b"damaged..."])
    with pytest.raises(DeliveryCut, match="does not match"):
        beta.inbound.deliver(beta.alpha, envelope, 10, [data[10:]])
    assert beta.inbound.standing(beta.alpha, envelope) == 0


def test_a_newer_delivery_of_the_same_envelope_takes_the_file_over(beta: Beta) -> None:
    data = body()
    envelope = beta.envelope(data)

    def overtaken() -> object:
        yield data[:10]
        assert beta.inbound.standing(beta.alpha, envelope) == 10
        yield data[10:20]

    with pytest.raises(DeliveryCut, match="begun again"):
        beta.inbound.deliver(beta.alpha, envelope, 0, overtaken())  # type: ignore[arg-type]
    assert beta.inbound.deliver(beta.alpha, envelope, 10, [data[10:]])


def test_two_deliveries_that_begin_at_once_never_write_one_file(beta: Beta, monkeypatch: pytest.MonkeyPatch) -> None:
    data = body()
    envelope = beta.envelope(data)

    def raced() -> Iterator[bytes]:
        yield data[:10]
        with monkeypatch.context() as late:
            late.setattr(beta.inbound, "_take_over", lambda envelope: None)  # it had looked before the first came
            with pytest.raises(DeliveryCut, match="just begun"):
                beta.inbound.deliver(beta.alpha, envelope, 0, [data])
        yield data[10:]

    assert beta.inbound.deliver(beta.alpha, envelope, 0, raced())


def test_a_stored_body_that_a_power_cut_damaged_is_not_handed_out(beta: Beta) -> None:
    envelope = beta.envelope(body())
    beta.mailbox.put_in(envelope, body(2.0))  # as found on disk after a restart
    token = beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    with pytest.raises(BadEnvelope, match="is damaged"):
        beta.take(token)


def test_a_reader_is_told_why_a_message_will_never_come(beta: Beta) -> None:
    token = beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    with pytest.raises(TokenRefused):
        beta.take("wrong")
    with pytest.raises(ContractViolation, match="'unknown'"):
        beta.take(token, tag="unknown")
    envelope = beta.envelope(body())
    beta.mailbox.put_out(envelope, body(), "gamma")
    beta.mailbox.refused(beta.mailbox.queued("gamma", large=False, after=0, limit=1)[0], MessageRefused("no"))
    with pytest.raises(MessageRefused, match="no"):
        beta.take(token)
    beta.mailbox.close_job(JOB)
    beta.inbox.forget_job(JOB)
    with pytest.raises(JobClosed):
        beta.take(token)


def test_a_reader_that_hangs_up_or_waits_too_long_gets_nothing(beta: Beta) -> None:
    token = beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    ask = (token, (str(GUEST), "loss", (1,)))
    assert beta.inbox.take(*ask, 0.01, lambda leave: None) is None
    assert beta.inbox.take(*ask, 30, lambda leave: leave()) is None
    beta.inbox.stop()
    assert beta.inbox.take(*ask, 30, lambda leave: None) is None


def test_a_message_of_an_attempt_far_ahead_is_put_off(beta: Beta) -> None:
    later = {attempt: beta.envelope(body(), attempt=attempt) for attempt in (1, 2, 77)}
    assert beta.inbound.accept(beta.alpha, later[1], body())
    for attempt in (2, 77):
        with pytest.raises(AttemptNotOpen, match=f"Attempt {attempt} of task 'train' has not begun at beta"):
            beta.inbound.accept(beta.alpha, later[attempt], body())
    beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    assert beta.inbound.accept(beta.alpha, later[2], body())
    with pytest.raises(AttemptNotOpen, match="the newest there is 1"):
        beta.inbound.accept(beta.alpha, later[77], body())
    beta.tokens.issue(Bearer(JOB, TASK, 76, str(HOST), 0))
    assert beta.inbound.accept(beta.alpha, later[77], body())


SEALED: dict[str, tuple[Value, str]] = {
    "of another kind": ({"loss": 1.0}, "kind record instead of array"),
    "too large": (np.zeros(2000), "bytes are more than"),
}


@pytest.mark.parametrize("name", SEALED)
def test_what_was_sealed_is_compared_with_its_line_before_it_is_handed_out(beta: Beta, name: str) -> None:
    value, says = SEALED[name]
    beta.mailbox.open_job(make_contract("SEALED", (line("key", "array", "aggregate-sealed", 2000),)))
    fields = {"job": "SEALED", "tag": "key", "kind": "array", "protection": "aggregate-sealed", "sealed": True}
    key = beta.envelope(b"", **fields).header.keys[0]
    sealed = seal(beta.homes["beta"].card, body(value), key.encode())
    envelope = beta.envelope(sealed, **fields)
    beta.mailbox.put_in(envelope, sealed)
    token = beta.tokens.issue(Bearer("SEALED", TASK, 1, str(HOST), 0))
    message = beta.inbox.take(token, (str(GUEST), "key", (1,)), 0, lambda leave: None)
    assert message is not None
    with pytest.raises(ContractViolation, match=says):
        beta.inbox.open(message)
    assert [entry.what for entry, _ in beta.mailbox.ledger()][1:] == [
        "refused gateway.contract_violation train/1/guest:alpha/host:beta/key"
    ]


@pytest.mark.parametrize("damage", ["not sealed", "sealed for another message", "sealed to another party", "no value"])
def test_what_was_sealed_wrongly_is_refused_by_name(beta: Beta, damage: str) -> None:
    fields = {"tag": "model", "kind": "array", "protection": "aggregate-sealed", "sealed": True}
    key = beta.envelope(b"", **fields).header.keys[0].encode()
    sealed = {
        "not sealed": body(np.zeros(3)),
        "sealed for another message": seal(beta.homes["beta"].card, body(np.zeros(3)), key + b"1"),
        "sealed to another party": seal(beta.homes["gamma"].card, body(np.zeros(3)), key),
        "no value": seal(beta.homes["beta"].card, b"not arrow", key),
    }[damage]
    assert beta.inbound.accept(beta.alpha, beta.envelope(sealed, **fields), sealed)
    token = beta.tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    with pytest.raises(InvalidInput):
        beta.take(token, tag="model")
    assert len(beta.mailbox.ledger()) == 2


def test_what_is_refused_stands_in_the_ledger_and_is_no_traffic(beta: Beta) -> None:
    envelope = beta.envelope(body(), kind="array")
    for header in (envelope.canonical, b"\x00", b"[" * 100_000):
        beta.inbound.refused(beta.alpha, header, ContractViolation("no"))
    entries = [entry for entry, _ in beta.mailbox.ledger()]
    whole = "refused gateway.contract_violation train/1/guest:alpha/host:beta/loss"
    assert [entry.what for entry in entries] == [whole, *["refused gateway.contract_violation"] * 2]
    assert {(entry.inward, entry.peer) for entry in entries} == {(True, "alpha")}
    assert unbroken(beta.mailbox.ledger())
    assert beta.mailbox.traffic(JOB).peers == {}


def test_a_flood_of_refusals_is_counted_and_not_copied(beta: Beta) -> None:
    now = 0.0
    refusals = Refusals(beta.mailbox, lambda: now)
    for _ in range(1000):
        refusals.envelope("alpha", b"", BadEnvelope("no"))
    refusals.envelope("gamma", b"", BadEnvelope("no"))
    now = 61.0
    refusals.envelope("alpha", b"", BadEnvelope("no"))
    entries = [(entry.peer, entry.what, entry.messages) for entry, _ in beta.mailbox.ledger()]
    one = "refused gateway.bad_envelope"
    assert entries == [("alpha", one, 1)] * 60 + [("gamma", one, 1), ("alpha", f"{one} more", 940), ("alpha", one, 1)]


def test_what_was_refused_too_often_is_counted_once_its_minute_is_over_or_the_gateway_stops(beta: Beta) -> None:
    now = 0.0
    refusals = Refusals(beta.mailbox, lambda: now)

    def told() -> list[int]:
        return [entry.messages for entry, _ in beta.mailbox.ledger() if "more" in entry.what]

    for _ in range(100):
        refusals.envelope("alpha", b"", BadEnvelope("no"))
    refusals.tell()
    assert told() == []
    now = 61.0
    refusals.tell()
    assert told() == [40]
    for _ in range(70):
        refusals.envelope("alpha", b"", BadEnvelope("no"))
    refusals.close()
    refusals.close()
    assert told() == [40, 10]


def test_a_peer_that_invents_jobs_fills_no_ledger_and_hides_nobody_else(beta: Beta) -> None:
    now = 0.0
    refusals = Refusals(beta.mailbox, lambda: now)
    for n in range(2000):
        envelope = beta.envelope(body(), job=f"INVENTED{n}")
        refusals.envelope("alpha", envelope.canonical, JobNotOpen("no"))
    alphas = len(beta.mailbox.ledger())
    assert alphas <= 21 * 60
    refusals.envelope("gamma", b"", BadEnvelope("no"))
    assert len(beta.mailbox.ledger()) == alphas + 1
    now = 61.0
    refusals.envelope("gamma", b"", BadEnvelope("no"))
    (more,) = [entry for entry, _ in beta.mailbox.ledger() if "more" in entry.what]
    assert (more.peer, more.what, more.messages) == ("alpha", "refused several more", 2000 - alphas)


def test_a_scalar_line_takes_no_text_without_end_from_a_peer(beta: Beta) -> None:
    beta.mailbox.open_job(make_contract("TEXT", (line("t", "text", "plain-scalar"),)))
    text = body("x" * 300)
    envelope = beta.envelope(text, job="TEXT", tag="t", kind="text")
    for keep in (beta.inbound.accept, lambda card, env, data: beta.inbound.deliver(card, env, 0, [data])):
        with pytest.raises(ContractViolation, match="'t' is plain-scalar"):
            keep(beta.alpha, envelope, text)


def test_parts_that_are_not_the_signed_ones_are_refused_in_a_stream_too(beta: Beta) -> None:
    one, two = body(1.0), body(2.0)
    parts = tuple(Part(step=(n,), size=len(one), sha256=sha256(one).hexdigest()) for n in range(2))
    whole = sha256(one + two).hexdigest()
    envelope = beta.envelope(one + two, size=len(one + two), sha256=whole, parts=parts)
    for keep in (beta.inbound.accept, lambda card, env, data: beta.inbound.deliver(card, env, 0, [data])):
        with pytest.raises(BadEnvelope, match="does not match"):
            keep(beta.alpha, envelope, one + two)
    good = (parts[0], Part(step=(1,), size=len(two), sha256=sha256(two).hexdigest()))
    assert beta.inbound.deliver(beta.alpha, beta.envelope(one + two, sha256=whole, parts=good), 0, [one + two])
