"""How many connections the public port keeps of those that have not shown who they are.

Who must go when there are more: runtime/limits/waiting_room.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.limits.waiting_room import Room


@dataclass(frozen=True)
class Caps:
    """What connections may cost that have not shown who they are.

    Attributes:
        greeting: Those whose first message has not come in whole; each costs one descriptor.
        handshaking: Those that are let through to TLS; each costs three descriptors and some 30 KiB.
        of_one_party: Connections of one trusted party.
    """

    greeting: Room
    handshaking: Room
    of_one_party: int = 16

    @staticmethod
    def within(descriptors: int) -> Caps:
        """Caps that leave most of a process's descriptors to its own work."""
        greeting = max(16, min(4096, descriptors // 4))
        handshaking = max(8, min(1024, descriptors // 16))
        return Caps(Room(greeting, greeting * 3 // 4), Room(handshaking, handshaking * 3 // 4))
