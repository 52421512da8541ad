"""All parties of one conversation in one process, with the semantics of the real exchange.

For unit tests, notebooks and `flow job run --local`. Values are encoded and decoded as between parties, the first
write of a key wins, a message may be read again until it is released, and a wait is woken by the arrival.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa

from gateway.contract import JobContract, check_size, seen_keys
from gateway.envelope import checked_step
from gateway.errors import ExchangeClosed
from gateway.executors.coverage import Coverage, Incoming, Step
from gateway.scalars import Bill, checked_values
from party.ids import Address
from runtime.clock import Clock, SystemClock
from storage.client import Value, decode, encode

LocalKey = tuple[Address, Address, str, Step]  # from, to, tag, step


class LocalExchange:
    """One conversation; `wire(address)` gives each address its side.

    Args:
        contract: What may be said; None: anything.
        task: The task of it that this is.
        clock: By which a wait ends that has an end.
    """

    def __init__(self, contract: JobContract | None = None, task: str = "", clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._contract = contract
        self._task = task
        self._arrived = threading.Condition()
        self._messages: dict[LocalKey, pa.Buffer | None] = {}  # None: released, the key stays taken
        self._seen: dict[str, str] = {}  # by owner, the key that its ciphertexts are under
        self._closed: ExchangeClosed | None = None

    def wire(self, address: Address) -> LocalWire:
        """The side of one address; it satisfies `algorithms.api.channel.Wire`."""
        return LocalWire(self, address)

    def close(self, error: BaseException | None = None) -> None:
        """End the conversation: every waiting and every later call raises ExchangeClosed."""
        with self._arrived:
            if self._closed is None:
                self._closed = ExchangeClosed(f"The exchange was closed: {error or 'the conversation has ended'}.")
                self._closed.__cause__ = error
            self._arrived.notify_all()

    def put(self, messages: Mapping[LocalKey, pa.Buffer]) -> None:
        """Store what is new; a key that was written before keeps its first value.

        Raises:
            ContractViolation, KeyChanged: The contract does not allow it.
            ExchangeClosed: The conversation has ended.
        """
        bills = {key: self._bill(key, body) for key, body in messages.items()}
        with self._arrived:
            self._check_open()
            fresh = [key for key in messages if key not in self._messages]
            self._seen = seen_keys(self._seen, (named for key in fresh for named in bills[key].keys))
            self._messages |= {key: messages[key] for key in fresh}
            self._arrived.notify_all()

    def take(self, key: LocalKey) -> pa.Buffer:
        """Block until the message is here."""
        with self._arrived:
            self._wait_any([key], None)
            return self._messages[key]

    def wait_any(self, keys: Collection[LocalKey], timeout_s: float | None) -> set[LocalKey]:
        """Block until one of the messages is here, or `timeout_s` is over by the clock; those that are here then."""
        with self._arrived:
            until = None if timeout_s is None else self.clock.monotonic() + timeout_s
            return self._wait_any(keys, until)

    def release(self, keys: Iterable[LocalKey]) -> None:
        """Forget the bodies; the keys stay taken."""
        with self._arrived:
            for key in keys:
                if key in self._messages:
                    self._messages[key] = None

    def _wait_any(self, keys: Collection[LocalKey], until: float | None) -> set[LocalKey]:
        while True:
            self._check_open()
            here = {key for key in keys if self._messages.get(key) is not None}
            if here or not keys or (until is not None and self.clock.monotonic() >= until):
                return here
            self._wait(until)

    def _wait(self, until: float | None) -> None:
        """Let go of the lock until something has happened, or the time has come."""
        self._arrived.wait(None if until is None else until - self.clock.monotonic())

    def _bill(self, key: LocalKey, body: pa.Buffer) -> Bill:
        if self._contract is None:
            return Bill()
        frm, to, tag, _ = key
        line = self._contract.line(self._task, tag, str(frm), str(to))
        check_size(line, body.size)
        return checked_values(line, [body])

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed


class LocalWire:
    """One address's side of a local exchange."""

    def __init__(self, exchange: LocalExchange, address: Address) -> None:
        self._exchange = exchange
        self._address = address
        self._coverage = Coverage()

    def send(self, to: Address, tag: str, step: Step, value: Value) -> None:
        """Return once the exchange holds the message."""
        self.send_many(to, tag, {step: value})

    def send_many(self, to: Address, tag: str, values: Mapping[Step, Value]) -> None:
        """Several messages of one tag at once; each is received by its own step."""
        encoded = {(self._address, to, tag, checked_step(step)): encode(value) for step, value in values.items()}
        self._exchange.put(encoded)

    def recv(self, frm: Address, tag: str, step: Step) -> Value:
        """Block until the message is here."""
        body = self._exchange.take(self._key((frm, tag, step)))
        self._coverage.took((frm, tag, step))
        return decode(body)

    def arrived(self, keys: Collection[Incoming]) -> set[Incoming]:
        """Those of the messages that are here and not released; does not wait."""
        return self.wait_any(keys, 0.0)

    def wait_any(self, keys: Collection[Incoming], timeout_s: float | None) -> set[Incoming]:
        """Block until one of them is here, or `timeout_s` is over; those that are here then."""
        here = self._exchange.wait_any([self._key(incoming) for incoming in keys], timeout_s)
        return {(frm, tag, step) for frm, _, tag, step in here}

    def checkpointed(self) -> None:
        """A checkpoint was stored: let go of what the oldest kept checkpoint covers."""
        self._exchange.release(map(self._key, self._coverage.checkpointed()))

    def release(self, frm: Address, tag: str, step: Step) -> None:
        """Let one received message go; receiving it again would wait for ever."""
        self._exchange.release([self._key((frm, tag, step))])

    def _key(self, incoming: Incoming) -> LocalKey:
        frm, tag, step = incoming
        return frm, self._address, tag, step
