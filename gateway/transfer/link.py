"""The line to one peer's gateway: a connection that is kept warm, and the calls over it. Knows nothing of queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import grpc

from gateway.calls.calls import SignedLetter
from gateway.errors import (
    CallTimeout,
    ClocksDiffer,
    PeerDistrustsUs,
    PeerRefused,
    PeerSilent,
    PeerUnreachable,
    ProtocolMismatch,
)
from gateway.mailbox.store import Outgoing
from gateway.peer_status import PeerStatus
from gateway.peers import PeerBook
from gateway.transfer.diagnosis import Diagnose, diagnose, distrusts
from gateway.wire import TransferStub, chunked, transfer, transfer_stub
from party.card import Card
from party.errors import BadCard
from runtime.bounds import MAX_TIME_MS
from runtime.clock import MOST_APART_MS, SystemClock, apart_text, now_ms
from runtime.errors import PlatformError
from runtime.log import get_logger
from runtime.problems import Problem, raised
from runtime.rpc import LIMITS, RECONNECT, rpc_error

PROTOCOL = 1
MINIMUM = 1
GREETING_S = 10.0
STILL_THERE_S = 3.0  # a greeting over a connection that was up a moment ago
PUT_S = 60.0
HEARTBEAT_S = 2.0  # a peer that was not heard for so long is greeted, so that its end is seen by itself
DIAGNOSE_EVERY_S = 5.0
GREET_EVERY_S = 30.0  # a peer that is up, too: its clock may have been set
CALLS_AT_ONCE = 12  # below what a gateway takes of one party at a time
_log = get_logger("gateway")
KEEP_ALIVE = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
# What a peer answers that takes nothing from this gateway.
_REFUSES_US = (PeerRefused, ProtocolMismatch, BadCard, ClocksDiffer)


class Outcome(StrEnum):
    """What became of one envelope."""

    STORED = "stored"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True)
class Receipt:
    """The peer's word on one envelope; `problem` says why it was not stored."""

    outcome: Outcome
    problem: PlatformError | None = None


def check_protocol(peer: str, protocol: int, minimum: int) -> None:
    """Raise ProtocolMismatch unless both sides speak a common version."""
    if protocol < MINIMUM or minimum > PROTOCOL:
        raise ProtocolMismatch(
            f"{peer} speaks protocol {minimum} to {protocol}, this gateway {MINIMUM} to {PROTOCOL}.",
            hint="The older of the two releases must be upgraded.",
        )


class Link:
    """See the module. Every method that calls the peer raises PeerUnreachable when it does not answer.

    Args:
        book: Our keys and the peer's card.
        party: The peer.
        diagnose: Looks why it does not answer.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        book: PeerBook,
        party: str,
        diagnose: Diagnose = diagnose,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._look_why = diagnose
        self._clock = clock
        self.party = party
        self._lock = threading.Lock()
        self._calls = threading.BoundedSemaphore(CALLS_AT_ONCE)
        self._channel: grpc.Channel | None = None
        self._stub: TransferStub | None = None
        self._made_for: tuple[Card, bytes] | None = None
        self._turn = 0
        self._up = False
        self._last_seen_s = 0.0
        self._problem: PlatformError | None = None
        self._clock_ahead_ms = 0
        self._answered_at = 0.0
        self._greeted_at = -GREET_EVERY_S
        self._diagnosed_at = -DIAGNOSE_EVERY_S
        self._diagnosing = False
        self._diagnosis: PeerUnreachable | None = None

    @property
    def up(self) -> bool:
        """Whether the peer answered the last call."""
        return self._up

    @property
    def quiet(self) -> bool:
        """Whether it is time to say hello: the peer is not up, or has not answered or told its time for a while."""
        now = self._clock()
        return not self._up or now - self._answered_at >= HEARTBEAT_S or now - self._greeted_at >= GREET_EVERY_S

    @property
    def last_seen_s(self) -> float:
        """When the peer last answered or greeted, seconds since 1970; 0 for never."""
        return self._last_seen_s

    @property
    def clock_ahead_ms(self) -> int:
        """By how much the peer's clock was ahead of ours when it last greeted."""
        return self._clock_ahead_ms

    def status(self, queued: int) -> PeerStatus:
        """How the peer is doing."""
        addresses = self._book.card(self.party).addresses
        if self._up:
            up = PeerStatus(self.party, addresses, "up", self._last_seen_s, queued)
            clock = _clock_problem(self.party, self._clock_ahead_ms)
            return up if clock is None else replace(up, problem=clock.message, code=clock.code, remedy=clock.hint)
        return PeerStatus.of(self.party, addresses, self._last_seen_s, queued, self._problem if addresses else None)

    def greet(self) -> None:
        """Say hello, compare versions, and learn the peer's clock. Raises ProtocolMismatch."""
        try:
            with self._calling():
                greeting = transfer.Greeting(protocol=PROTOCOL, minimum=MINIMUM)
                answer = self._transfer().Hello(greeting, timeout=STILL_THERE_S if self._up else GREETING_S)
                check_protocol(self.party, answer.protocol, answer.minimum)
                self._greeted_at = self._clock()
                self._clock_ahead_ms = answer.now_ms - now_ms(SystemClock()) if 0 < answer.now_ms <= MAX_TIME_MS else 0
        except CallTimeout as late:
            self.failed(PeerSilent(late.message, hint="It is tried again."))
            raise

    def put(self, batch: Sequence[Outgoing]) -> list[Receipt]:
        """Deliver small envelopes at once."""
        message = transfer.Envelopes(envelopes=[_message(item, bytes(item.place.buffer())) for item in batch])
        with self._calling():
            answer = self._transfer().Put(message, timeout=PUT_S)
        return [_receipt(receipt) for receipt in answer.receipts]

    def deliver(self, item: Outgoing) -> Receipt:
        """Deliver a large envelope, from where an earlier try was cut."""
        with self._calling():
            standing = self._transfer().Offer(_message(item, b""), timeout=PUT_S)
            if standing.receipt.outcome != transfer.OUTCOME_UNSPECIFIED:
                return _receipt(standing.receipt)
            return _receipt(self._transfer().Deliver(_chunks(item, standing.have_bytes)))

    def call(self, letter: SignedLetter, timeout_s: float) -> SignedLetter:
        """Carry a request and bring the answer. Raises CallTimeout."""
        request = transfer.Envelope(header=letter.header, signature=letter.signature, body=letter.body)
        deadline = time.monotonic() + timeout_s
        if not self._calls.acquire(timeout=timeout_s):
            raise CallTimeout(f"{CALLS_AT_ONCE} earlier calls to {self.party} are not answered yet.")
        try:
            with self._calling():
                answer = self._transfer().Call(request, timeout=max(deadline - time.monotonic(), 0.001))
        finally:
            self._calls.release()
        return SignedLetter(answer.header, answer.signature, answer.body)

    def seen(self) -> None:
        """The peer has just called us."""
        self._last_seen_s = time.time()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel, self._stub, self._made_for = None, None, None
            self._up = False

    def _transfer(self) -> TransferStub:
        card, keys = self._book.card(self.party), self._book.keys
        with self._lock:
            if self._stub is None or self._made_for != (card, keys.tls_cert_pem):
                if self._channel is not None:
                    self._channel.close()
                self._channel = self._connect(card)
                self._stub = transfer_stub(self._channel)
                self._made_for = (card, keys.tls_cert_pem)
            return self._stub

    def _connect(self, card: Card) -> grpc.Channel:
        if not card.addresses:
            raise PeerUnreachable(f"{self.party} has no address on its card; it only calls out.")
        keys = self._book.keys
        credentials = grpc.ssl_channel_credentials(
            root_certificates=card.tls_certificate.encode(),
            private_key=keys.tls_key_pem,
            certificate_chain=keys.tls_cert_pem,
        )
        # The pinned certificate is the only root, so the name in it is all that is left to compare.
        options = [
            ("grpc.ssl_target_name_override", card.party),
            ("grpc.use_local_subchannel_pool", 1),
            *LIMITS,
            *RECONNECT,
            *KEEP_ALIVE,
        ]
        return grpc.secure_channel(card.addresses[self._turn % len(card.addresses)], credentials, options=options)

    def _calling(self) -> _Calling:
        return _Calling(self)

    def answered(self) -> None:
        """The last call was answered."""
        self._up, self._last_seen_s, self._problem = True, time.time(), None
        self._answered_at = self._clock()
        self._diagnosis, self._diagnosed_at = None, -DIAGNOSE_EVERY_S

    def unreachable(self) -> PeerUnreachable:
        """Why the peer does not answer, as far as that is known; it is looked at from time to time, beside the call."""
        card = self._book.card(self.party)
        with self._lock:
            due = card.addresses and self._clock() - self._diagnosed_at >= DIAGNOSE_EVERY_S
            if due and not self._diagnosing:
                self._diagnosing = True
                address = card.addresses[self._turn % len(card.addresses)]
                name = f"gateway-diagnosis-{self.party}"
                threading.Thread(target=self._diagnose, args=(card, address), name=name, daemon=True).start()
        return self._diagnosis or PeerUnreachable(
            f"The gateway of {self.party} cannot be reached.", hint="It is tried again; see: flow party status"
        )

    def _diagnose(self, card: Card, address: str) -> None:
        found = None
        try:
            found = self._look_why(card, address, self._book.keys, self._book.party)
        finally:
            with self._lock:
                self._diagnosing, self._diagnosed_at = False, self._clock()
                self._diagnosis = None if self._up else found
                if self._diagnosis is not None and isinstance(self._problem, PeerUnreachable):
                    self._problem = self._diagnosis

    def refused(self) -> PeerDistrustsUs:
        """What it means that the peer does not know our certificate."""
        return distrusts(self.party, self._book.party)

    def failed(self, problem: PlatformError) -> None:
        """The last call was not answered: the next one tries the next address."""
        self._up, self._problem = False, problem
        with self._lock:
            self._turn += 1
            if self._made_for is not None and len(self._made_for[0].addresses) > 1:
                self._made_for = None


class _Calling:
    """Keeps the link's state and gives gRPC's errors our names."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._link.answered()
            return
        if isinstance(error, PlatformError):
            self._link.failed(error)
            return
        if not isinstance(error, grpc.RpcError | ValueError):
            return
        raise self._named(error) from None

    def _named(self, error: grpc.RpcError | ValueError) -> PlatformError:
        party = self._link.party
        if isinstance(error, ValueError):  # the channel was closed under the call
            return PeerUnreachable(f"The line to {party} is being made anew.", hint="It is tried again.")
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return CallTimeout(f"The gateway of {party} did not answer in time.")
        unknown = PeerUnreachable(party)
        named = rpc_error(error, unknown)
        if named is unknown:
            _log.debug("A call failed", peer=party, reason=str(error.details())[:200])
            named = self._link.unreachable()
            self._link.failed(named)
        elif isinstance(named, PeerRefused):
            named = self._link.refused()
            self._link.failed(named)
        elif isinstance(named, _REFUSES_US):
            self._link.failed(named)
        else:  # the far handler said no to this one call: the line works
            self._link.answered()
        return named


def _clock_problem(party: str, ahead_ms: int) -> ClocksDiffer | None:
    """What to say of a peer whose clock is so far from ours that one of the two must be wrong."""
    if abs(ahead_ms) <= MOST_APART_MS:
        return None
    return ClocksDiffer(apart_text(party, ahead_ms), hint="Set the clock that is wrong (by NTP).")


def _message(item: Outgoing, body: bytes) -> transfer.Envelope:
    return transfer.Envelope(header=item.envelope.canonical, signature=item.envelope.signature, body=body)


def _chunks(item: Outgoing, offset: int) -> Iterator[transfer.Chunk | memoryview]:
    yield transfer.Chunk(header=item.envelope.canonical, signature=item.envelope.signature, offset=offset)
    yield from chunked(memoryview(item.place.buffer()).cast("B"), offset)


def _receipt(receipt: transfer.Receipt) -> Receipt:
    outcomes = {transfer.OUTCOME_STORED: Outcome.STORED, transfer.OUTCOME_REFUSED: Outcome.REFUSED}
    outcome = outcomes.get(receipt.outcome, Outcome.LATER)
    if outcome == Outcome.STORED:
        return Receipt(outcome)
    return Receipt(outcome, raised(Problem(receipt.code, receipt.message, receipt.hint, "")))
