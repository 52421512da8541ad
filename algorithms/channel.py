"""How the roles of one task attempt talk: the verbs an algorithm may use.

The needer owns the interface: whatever satisfies `Wire` (a gateway, an in-process exchange, a test) becomes a
`Channel` here. The key of a message is (job, task, attempt, from, to, tag, step); the first three and `from` are
bound when the wire is made, so algorithms cannot collide. A message may be read again until the reader's next
checkpoint releases it; that is what makes resuming possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from party.ids import Address
from storage.client import Value

Step = tuple[int, ...]


class Wire(Protocol):
    """What a transport must offer."""

    def send(self, to: Address, tag: str, step: Step, value: Value) -> None:
        """Return once the sender's own gateway holds the message durably."""

    def send_many(self, to: Address, tag: str, values: Mapping[Step, Value]) -> None:
        """Several small messages of one tag in one envelope; each is received by its own step."""

    def recv(self, frm: Address, tag: str, step: Step) -> Value:
        """Block until the message is here."""

    def recv_any(self, frm: Sequence[Address], tag: str, step: Step) -> tuple[Address, Value]:
        """Block until one of the senders' messages is here; which one is journaled by the caller."""


class Channel:
    """One address's side of the conversation of a task attempt. A step is an int or a tuple of ints."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

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

    def gather(self, frm: Iterable[Address], tag: str, step: int | Step) -> list[Value]:
        """One value from each address, in address order, whatever the order of arrival."""
        return [self._wire.recv(address, tag, _step(step)) for address in sorted(frm)]

    def recv_any(self, frm: Iterable[Address], tag: str, step: int | Step) -> tuple[Address, Value]:
        """Wait for the first value from any of the addresses."""
        return self._wire.recv_any(sorted(frm), tag, _step(step))


def _step(step: int | Step) -> Step:
    return (step,) if isinstance(step, int) else tuple(step)
