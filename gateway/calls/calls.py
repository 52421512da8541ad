"""The call path: one signed Flow-to-Flow request and its signed answer.

The gateway carries method and body without reading them. Request and answer are headers of version 1 in canonical
JSON with a signature each; the answer names the digest of the request it answers, so that neither can be exchanged
for another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal, Protocol, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.backoff import Backoff
from gateway.calls.subscribers import OnGone, Subscribers
from gateway.envelope import Digest, Name, is_name
from gateway.errors import (
    BadEnvelope,
    CallRepeated,
    CallTooLarge,
    ClocksDiffer,
    EnvelopeVersion,
    PeerRefused,
    PeerUnreachable,
)
from gateway.mailbox.refusals import Refusals
from gateway.mailbox.store import Mailbox
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from party.card import Card
from party.seal import sign, verify
from runtime.bounds import Count, TimeMs
from runtime.canonical import canonical_json, parse_json
from runtime.clock import Clock, SystemClock, span, when
from runtime.errors import PlatformError
from runtime.problems import MAX_TEXT_CHARS, Problem, problem_of, raised
from runtime.text import first_problem, printable

CALL_VERSION: Literal[1] = 1
CALL_PURPOSE = b"archipelago/call/v1"
ANSWER_PURPOSE = b"archipelago/answer/v1"
ANSWERED = ".answer"  # after the method's name in the ledger
MAX_CALL_BYTES = 4 << 20
MAX_CALL_HEADER_BYTES = 64 << 10
_MAX_HEADER_VALUES = 100
FRESH_MS = 10 * 60_000  # so far from the receiver's clock may a call have been made, either way
PATIENCE_S = 0.5  # a peer that was reachable a moment ago gets this long to come back

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
H = TypeVar("H", bound="_Letter")


@dataclass(frozen=True)
class SignedLetter:
    """A letter on its way: canonical header, signature, body."""

    header: bytes
    signature: bytes
    body: bytes


class _Letter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    version: Literal[1] = CALL_VERSION
    sender: Name
    receiver: Name
    size: Count
    sha256: Digest


class Request(_Letter):
    """What is asked: `id` and `sent_at_ms` make every request's digest unique. `sent_at_ms` is the receiver's time."""

    id: Name
    method: Name
    sent_at_ms: TimeMs


class Answer(_Letter):
    """What came back: the body, or the error of the far handler (`code` is not empty)."""

    request: Digest
    code: Text = ""
    message: Text = ""
    hint: Text = ""
    kind: Text = ""


class Line(Protocol):
    """The way to one party."""

    @property
    def clock_ahead_ms(self) -> int:
        """By how much the party's clock is ahead of ours, as far as is known."""

    def call(self, letter: SignedLetter, timeout_s: float) -> SignedLetter:
        """Carry a request there and bring the answer."""


class Calls:
    """Both ends of the call path at one gateway.

    Args:
        book: Keys and cards.
        mailbox: Its ledger records every call.
        subscribers: Where our own Flow answers.
        recorder: Records letters as they leave.
        line: The way to a party. A call is dated by its receiver's clock, so that clocks that differ stop no call and
            yet none can be kept back and used later.
        clock: By which a call is fresh.
    """

    def __init__(
        self,
        book: PeerBook,
        mailbox: Mailbox,
        subscribers: Subscribers,
        recorder: Recorder,
        line: Callable[[str], Line],
        clock: Clock | None = None,
    ) -> None:
        self._book = book
        self._mailbox = mailbox
        self._subscribers = subscribers
        self._recorder = recorder
        self._line = line
        self._clock = clock or SystemClock()
        self.refusals = Refusals(mailbox)

    def call(self, party: str, method: str, body: bytes, timeout_s: float) -> bytes:
        """The answer of the party's Flow; our own party is asked without a detour.

        Raises:
            PeerUnknown, PeerUnreachable, NoSubscriber, CallTimeout, CallTooLarge: Nobody answered.
            PlatformError: What the far handler raised: the same code, message and hint.
        """
        _check_size(body, f"The call '{method}'")
        _check_method(method)
        if party == self._book.party:
            return self._subscribers.ask(party, method, body, timeout_s)
        card = self._book.card(party)
        self._mailbox.record_call(party, method, len(body), sha256(body).hexdigest(), inward=False)
        letter, reply = self._asked(party, method, body, timeout_s)
        answer = _opened(Answer, reply, card, ANSWER_PURPOSE, self._book.party)
        if answer.request != sha256(letter.header).hexdigest():
            raise PeerRefused(f"{party} answered another request than the one it was asked.")
        self._mailbox.record_call(party, method + ANSWERED, answer.size, answer.sha256, inward=True)
        if answer.code:
            raise raised(Problem(answer.code, answer.message, answer.hint, answer.kind))
        return reply.body

    def answer(self, sender: Card, letter: SignedLetter, timeout_s: float, on_gone: OnGone) -> SignedLetter:
        """Ask our own Flow on behalf of another party, until that is gone.

        Raises ClocksDiffer, CallRepeated, and what else is wrong with the request itself.
        """
        request = self._let_in(sender, letter)
        self._mailbox.record_call(sender.party, request.method, request.size, request.sha256, inward=True)
        body, fields = b"", {"code": "", "message": "", "hint": "", "kind": ""}
        try:
            body = self._subscribers.ask(sender.party, request.method, letter.body, timeout_s, on_gone)
            _check_size(body, f"The answer to '{request.method}'")
        except PlatformError as error:
            body, fields = b"", dict(vars(problem_of(error)))
        answer = Answer(
            sender=self._book.party,
            receiver=sender.party,
            size=len(body),
            sha256=sha256(body).hexdigest(),
            request=sha256(letter.header).hexdigest(),
            **fields,  # type: ignore[arg-type]
        )
        header = canonical_json(answer.model_dump(mode="json"))
        self._mailbox.record_call(sender.party, request.method + ANSWERED, answer.size, answer.sha256, inward=False)
        self._recorder.record(f"answer-{request.id}", header, body)
        return SignedLetter(header, sign(self._book.keys, ANSWER_PURPOSE, header), body)

    def _asked(self, party: str, method: str, body: bytes, timeout_s: float) -> tuple[SignedLetter, SignedLetter]:
        """The letter that was answered and its answer. Each try is a letter of its own: none is answered twice."""
        deadline = time.monotonic() + timeout_s
        patience = time.monotonic() + min(timeout_s, PATIENCE_S)
        backoff = Backoff(0.1)
        while True:
            request, letter = self._request(party, method, body)
            self._recorder.record(f"call-{request.id}", letter.header, letter.body)
            try:
                return letter, self._line(party).call(letter, max(deadline - time.monotonic(), 0.001))
            except PeerUnreachable:
                if time.monotonic() > patience:
                    raise
                time.sleep(backoff.next())

    def _request(self, party: str, method: str, body: bytes) -> tuple[Request, SignedLetter]:
        request = Request(
            sender=self._book.party,
            receiver=party,
            size=len(body),
            sha256=sha256(body).hexdigest(),
            id=uuid4().hex,
            method=method,
            sent_at_ms=self.now_ms() + self._line(party).clock_ahead_ms,
        )
        header = canonical_json(request.model_dump(mode="json"))
        return request, SignedLetter(header, sign(self._book.keys, CALL_PURPOSE, header), body)

    def _let_in(self, sender: Card, letter: SignedLetter) -> Request:
        """The request, once it is known to be the sender's, of now, and new."""
        method = ""
        try:
            request = _opened(Request, letter, sender, CALL_PURPOSE, self._book.party)
            method = request.method
            self._check_fresh(sender.party, request.sent_at_ms)
            if not self._mailbox.first_call(sender.party, request.id, request.sent_at_ms + FRESH_MS):
                raise CallRepeated(f"This call of {sender.party} came before.")
        except PlatformError as error:
            self.refusals.call(sender.party, method, letter.header, error)
            raise
        return request

    def _check_fresh(self, sender: str, sent_at_ms: int) -> None:
        now_ms = self.now_ms()
        if abs(now_ms - sent_at_ms) > FRESH_MS:
            ahead = "ahead of" if sent_at_ms > now_ms else "behind"
            raise ClocksDiffer(
                f"The clocks of {sender} and {self._book.party} differ: a call of {sender} is dated "
                f"{span(abs(now_ms - sent_at_ms))} {ahead} ours, where it is {when(now_ms)}.",
                hint="It is tried again by our clock. If this goes on, set the clock that is wrong (by NTP). A call "
                "that was kept back and sent again later looks the same.",
            )

    def now_ms(self) -> int:
        """Our clock, by which calls to us are dated: milliseconds since 1970."""
        return int(self._clock.now().timestamp() * 1000)


def _check_method(method: str) -> None:
    if not is_name(method):
        raise BadEnvelope(f"'{printable(method)[:80]}' is not a method.", hint="Use letters, digits, '.' and '_'.")


def _opened(kind: type[H], letter: SignedLetter, card: Card, purpose: bytes, receiver: str) -> H:
    if len(letter.header) > MAX_CALL_HEADER_BYTES:
        raise BadEnvelope(f"The header of a call has {len(letter.header)} bytes.")
    values = parse_json(letter.header, "The header of a call", _MAX_HEADER_VALUES)
    version = values.get("version") if isinstance(values, dict) else None
    if version != CALL_VERSION or isinstance(version, bool):
        raise EnvelopeVersion(f"The call has version {version!r}; this gateway reads version {CALL_VERSION}.")
    try:
        header = kind.model_validate_json(letter.header)
    except ValidationError as error:
        raise BadEnvelope(f"The header of a call is wrong: {first_problem(error)}.") from None
    if header.sender != card.party or header.receiver != receiver:
        raise PeerRefused(f"{card.party} brings a call from {header.sender} to {header.receiver}.")
    verify(card, purpose, letter.header, letter.signature)
    if len(letter.body) != header.size or sha256(letter.body).hexdigest() != header.sha256:
        raise BadEnvelope("The body of a call does not match its header.")
    return header


def _check_size(body: bytes, what: str) -> None:
    if len(body) > MAX_CALL_BYTES:
        raise CallTooLarge(f"{what} has {len(body)} bytes; at most {MAX_CALL_BYTES} are carried.")
