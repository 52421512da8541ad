"""How the roles of one task attempt talk: the verbs an algorithm may use.

The needer owns the interface: whatever satisfies `Wire` (a gateway, an in-process exchange, a test) becomes a
`Channel` here. The key of a message is (job, task, attempt, from, to, tag, step); the first three and one end are
bound when the wire is made, so algorithms cannot collide. A message may be read again until the reader's next
checkpoint releases it; that is what makes resuming possible.

Which messages are here, and which came first, is chance. So every verb that tells it (`recv_any`, `members`, `gather`
with `at_least`, `arrived`, `wait_any`) writes what it tells into the executor's journal first, and an executor that is
started again is told the same: nothing that was sent because of it is contradicted later. The components that come with
the platform use `send`, `broadcast`, `recv` and `gather` of all; the other verbs are for those of other packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, overload

from party.ids import Address
from runtime.canonical import canonical_json
from runtime.clock import Clock, SystemClock
from storage.client import Value

Step = tuple[int, ...]
Incoming = tuple[Address, str, Step]  # a message to this address: from, tag, step


class Wire(Protocol):
    """What a transport must offer."""

    def send(self, to: Address, tag: str, step: Step, value: Value) -> None:
        """Return once the sender's own gateway holds the message durably."""

    def send_many(self, to: Address, tag: str, values: Mapping[Step, Value]) -> None:
        """Several small messages of one tag in one envelope; each is received by its own step."""

    def recv(self, frm: Address, tag: str, step: Step) -> Value:
        """Block until the message is here."""

    def arrived(self, keys: Collection[Incoming]) -> set[Incoming]:
        """Those of the messages that are here and not released; does not wait."""

    def wait_any(self, keys: Collection[Incoming], timeout_s: float | None) -> set[Incoming]:
        """Block until one of them is here, or `timeout_s` is over (None: never); those that are here then."""


class Journal(Protocol):
    """Where an executor keeps what a restart must not change."""

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes `make` returned the first time, stored before they are returned."""


class Channel:
    """One address's side of the conversation of a task attempt. A step is an int or a tuple of ints.

    Args:
        wire: What carries the messages.
        journal: Where what was seen of arrivals is kept.
        clock: By which `within_s` is measured.
    """

    def __init__(self, wire: Wire, journal: Journal, clock: Clock | None = None) -> None:
        self._wire = wire
        self._journal = journal
        self._clock = clock or SystemClock()

    def send(self, to: Address, tag: str, step: int | Step, value: Value) -> None:
        """Send `value`; a second send of the same key is dropped, whatever its value."""
        self._wire.send(to, tag, _step(step), value)

    def send_many(self, to: Address, tag: str, values: Mapping[Step, Value]) -> None:
        """Send many small values of one tag in one envelope."""
        self._wire.send_many(to, tag, values)

    def recv(self, frm: Address, tag: str, step: int | Step) -> Value:
        """Wait for one value."""
        return self._wire.recv(frm, tag, _step(step))

    def broadcast(self, to: Iterable[Address], tag: str, step: int | Step, value: Value) -> None:
        """Send the same value to each address, in address order."""
        for address in sorted(to):
            self._wire.send(address, tag, _step(step), value)

    @overload
    def gather(self, frm: Iterable[Address], tag: str, step: int | Step) -> list[Value]: ...

    @overload
    def gather(
        self, frm: Iterable[Address], tag: str, step: int | Step, *, at_least: int, within_s: float
    ) -> dict[Address, Value]: ...

    def gather(
        self,
        frm: Iterable[Address],
        tag: str,
        step: int | Step,
        *,
        at_least: int | None = None,
        within_s: float | None = None,
    ) -> list[Value] | dict[Address, Value]:
        """One value from each address, in address order, whatever the order of arrival.

        With `at_least` and `within_s` only from the `members`, as a dict that says who they are.
        """
        if at_least is None and within_s is None:
            return [self._wire.recv(address, tag, _step(step)) for address in sorted(frm)]
        if at_least is None or within_s is None:
            raise ValueError("at_least and within_s go together: how many are enough, and when fewer than all are")
        members = self.members(frm, tag, step, at_least=at_least, within_s=within_s)
        return {address: self._wire.recv(address, tag, _step(step)) for address in members}

    def members(
        self, frm: Iterable[Address], tag: str, step: int | Step, *, at_least: int, within_s: float
    ) -> list[Address]:
        """Who is in: all, if the value of each comes within `within_s` seconds; later, those whose value is here.

        That is decided once for a tag and step, as soon as all values are here or the time is over and `at_least` of
        them are; fewer are waited for as long as it takes. A restart before the decision begins the time anew. Of a
        value in several messages ask for the last one: they come in the order in which they were sent.

        Returns:
            The addresses, sorted.
        """
        asked = {(address, tag, _step(step)) for address in frm}
        if not 1 <= at_least <= len(asked):
            raise ValueError(f"at_least is {at_least}, of {len(asked)} addresses")
        seen = self._seen(f"members/{_named(tag, step)}", asked, lambda: self._enough(asked, at_least, within_s))
        return sorted(address for address, _, _ in seen)

    def recv_any(self, frm: Iterable[Address], tag: str, step: int | Step) -> tuple[Address, Value]:
        """Wait for the first value from any of the addresses; the same one again for the same tag and step."""
        asked = {(address, tag, _step(step)) for address in frm}
        seen = self._seen(f"first/{_named(tag, step)}", asked, lambda: {min(self._wire.wait_any(asked, None))})
        first = seen.pop()
        return first[0], self._wire.recv(*first)

    def arrived(self, name: str, keys: Iterable[Incoming]) -> set[Incoming]:
        """Those of the messages that are here now, or that were when `name` was first asked."""
        asked = set(keys)
        return self._seen(f"arrived/{name}", asked, lambda: self._wire.arrived(asked))

    def wait_any(self, name: str, keys: Iterable[Incoming], timeout_s: float | None = None) -> set[Incoming]:
        """Wait until one of the messages is here, or `timeout_s` is over; those that are here then.

        As `arrived`, what was seen under a name is seen again.
        """
        asked = set(keys)
        return self._seen(f"arrived/{name}", asked, lambda: self._wire.wait_any(asked, timeout_s))

    def _enough(self, asked: set[Incoming], at_least: int, within_s: float) -> set[Incoming]:
        until = self._clock.monotonic() + within_s
        here = self._wire.arrived(asked)
        while here != asked:
            left_s = until - self._clock.monotonic()
            if left_s <= 0 and len(here) >= at_least:
                break
            here |= self._wire.wait_any(asked - here, left_s if left_s > 0 else None)
        return here

    def _seen(self, name: str, asked: set[Incoming], look: Callable[[], set[Incoming]]) -> set[Incoming]:
        """What was seen under the name the first time; it is in the journal before anybody knows.

        Nobody waits inside the journal, which is locked meanwhile.
        """
        try:
            kept = self._journal.once(name, _not_yet)
        except _NotYet:
            now = canonical_json([[str(frm), tag, list(step)] for frm, tag, step in sorted(look())])
            kept = self._journal.once(name, lambda: now)
        seen = {(Address.parse(frm), tag, tuple(step)) for frm, tag, step in json.loads(kept)}
        if not seen <= asked:
            raise ValueError(f"'{name}' was asked before, about other messages")
        return seen


class _NotYet(Exception):
    """The journal does not hold the name."""


def _not_yet() -> bytes:
    raise _NotYet


def _step(step: int | Step) -> Step:
    return (step,) if isinstance(step, int) else tuple(step)


def _named(tag: str, step: int | Step) -> str:
    return f"{tag}/{'.'.join(map(str, _step(step)))}"
