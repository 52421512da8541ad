"""How long Flow waits before it does something once more."""

from __future__ import annotations

from dataclasses import dataclass

HURRIED = 8
"""How many ask for room at once when some may have become free: the first of those that wait."""


@dataclass(frozen=True)
class Pauses:
    """In seconds; where there is a first and a last, each pause is twice the one before.

    Attributes:
        first_s, last_s: Between tries of a call to another party that does not answer.
        last_end_s: The last between tries to tell a party that a job is over.
        room_s: Before room is asked for again, at most, by one of the first that wait.
        hold_s: Before room is given back that was got at some parties, while others have none.
        patience_s: Before what has waited for room so long gives nothing back.
        probe_s, last_probe_s: Before a party whose sides run is asked again how they are, where few are asked and many.
        restart_s: The first before an executor starts again that came no further the last time.
        last_follow_s: The last between tries to follow what executors tell.
    """

    first_s: float = 0.2
    last_s: float = 10.0
    last_end_s: float = 60.0
    room_s: float = 3.0
    hold_s: float = 5.0
    patience_s: float = 600.0
    probe_s: float = 3.0
    last_probe_s: float = 10.0
    restart_s: float = 1.0
    last_follow_s: float = 2.0

    def next_probe_s(self, asked: int) -> float:
        """Before the next probe of a party about a job; `asked` such are to be asked."""
        return min(self.probe_s * (1 + asked // HURRIED), max(self.probe_s, self.last_probe_s))

    def longest_room_s(self, ahead: int) -> float:
        """Before room is asked for again, at most, by who has so many of our own attempts before it.

        It grows with them: a hundred that wait would else do nothing but ask.
        """
        return self.room_s * (1 + ahead // HURRIED)
