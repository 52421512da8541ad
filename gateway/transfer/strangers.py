"""Callers that TLS turned away: remembered for people, few of them, and never a line in the log for each try."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from party.errors import InvalidName
from party.ids import party_id
from runtime.log import get_logger

MAX_KNOWN = 32
TELL_EVERY_S = 300.0  # of one caller
TELL_ANY_EVERY_S = 10.0
FORGET_S = 600.0
KNOCKS = ".knocks."
_log = get_logger("gateway")


@dataclass(frozen=True)
class Stranger:
    """A caller whose certificate is on no card that we trust.

    Attributes:
        address: Where it calls from.
        claims: The party it says it is, which nothing proves; empty if it says none.
        count: How often it came.
        last_s: When it came last, seconds since 1970.
    """

    address: str
    claims: str
    count: int
    last_s: float


def knock(own: str, party: str) -> str:
    """The server name by which a turned-away gateway says who it is, so that the other side's people can act."""
    return f"{own}{KNOCKS}{party}"


def claimed(server_name: str, own: str) -> str:
    """The party that the server name names, if it knocks at `own`; else nothing."""
    name, knocks, to = server_name.partition(KNOCKS)
    try:
        return party_id(name) if knocks and to == own else ""
    except InvalidName:
        return ""


class Strangers:
    """See the module. Safe to use from several threads."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Stranger] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._told_at = -TELL_ANY_EVERY_S

    def turned_away(self, address: str, server_name: str) -> None:
        """Note one."""
        claims = claimed(server_name, self._own)
        key = (address, claims)
        with self._lock:
            known = self._known.pop(key, Stranger(address, claims, 0, 0.0))
            self._known[key] = replace(known, count=known.count + 1, last_s=time.time())
            while len(self._known) > MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            tell = self._is_news(key, time.monotonic())
        if tell:
            _log.warning("A caller was turned away: its card is not trusted here", address=address, says_it_is=claims)

    def _is_news(self, key: tuple[str, str], now: float) -> bool:
        self._told = {known: at for known, at in self._told.items() if known in self._known}
        if now - self._told_at < TELL_ANY_EVERY_S or now - self._told.get(key, -TELL_EVERY_S) < TELL_EVERY_S:
            return False
        self._told_at = self._told[key] = now
        return True

    def recent(self) -> list[Stranger]:
        """Those of the last minutes; of one address only the tries that name a party, where there are any."""
        with self._lock:
            known = [found for found in self._known.values() if time.time() - found.last_s < FORGET_S]
        named = {found.address for found in known if found.claims}
        return [found for found in known if found.claims or found.address not in named]
