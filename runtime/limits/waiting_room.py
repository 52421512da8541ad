"""Who is kept waiting at a door, and who must go when it is full. Pure: no I/O and no clock.

A waiting room takes every newcomer. When it is full, or one address has more than its share in it, the one that has
waited longest goes: of that address, else of the address that has the most. So whoever fills the room pushes out
itself, and an honest newcomer has the time in which the room fills once to get through.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Generic, TypeVar

W = TypeVar("W")
V6_NETWORK_BITS = 64  # one subscriber has at least so many addresses to choose from


@dataclass(frozen=True)
class Room:
    """How many may wait in all, and of one address."""

    total: int
    of_one_address: int


class WaitingRoom(Generic[W]):
    """Those who wait, by address and in the order in which they came."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._by_address: dict[str, dict[W, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, who: W, address: str) -> list[W]:
        """Take a newcomer; those who must go for it. They have left when this returns."""
        same = self._by_address.setdefault(address, {})
        same[who] = None
        self._count += 1
        gone = []
        if len(same) > self._room.of_one_address:
            gone.append(self._push_out(address))
        if self._count > self._room.total:
            gone.append(self._push_out(self._fullest()))
        return gone

    def leave(self, who: W, address: str) -> None:
        """It waits no longer; one that does not wait is no error."""
        same = self._by_address.get(address, {})
        if who in same:
            del same[who]
            self._count -= 1
            if not same:
                del self._by_address[address]

    def longest(self) -> W | None:
        """Who goes first when descriptors run out: of the address with the most, the one that came first."""
        if not self._by_address:
            return None
        return next(iter(self._by_address[self._fullest()]))

    def _fullest(self) -> str:
        return max(self._by_address, key=lambda address: len(self._by_address[address]))

    def _push_out(self, address: str) -> W:
        first = next(iter(self._by_address[address]))
        self.leave(first, address)
        return first


def network_of(host: str) -> str:
    """What counts as one address: of IPv6 the network of a subscriber, and IPv4 in its own form."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, V6_NETWORK_BITS), strict=False))
