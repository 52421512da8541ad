"""Short-lived proof of who somebody is: single-use login tickets and signed session tokens.

A ticket is what a login link carries: it works once and for a minute or two. A session token is what a browser's
board holds instead of the user's own token: it names the user, ends by itself, and stops working as soon as the user
is removed or logs out. Tickets and ended sessions live in memory only: a restart ends every ticket.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading

from party.clock import Clock
from party.errors import NotAuthenticated

PREFIX = "s1."  # the version of the token's form
SESSION_S = 12 * 3600
TICKET_S = 120
MAX_TICKETS = 1000


class SessionBook:
    """Issues and checks tickets and session tokens under one key."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._tickets: dict[bytes, tuple[str, float]] = {}
        self._ended: dict[str, float] = {}

    def issue_ticket(self, user: str, valid_s: float = TICKET_S) -> str:
        """A ticket that opens one session of `user`."""
        ticket = secrets.token_urlsafe(24)
        now = self._clock.monotonic()
        with self._lock:
            self._tickets = {k: v for k, v in self._tickets.items() if v[1] > now}
            if len(self._tickets) >= MAX_TICKETS:
                self._tickets.pop(next(iter(self._tickets)))
            self._tickets[_digest(ticket)] = (user, now + valid_s)
        return ticket

    def redeem(self, ticket: str) -> str:
        """The user of a ticket, once. Raises NotAuthenticated."""
        with self._lock:
            user, until = self._tickets.pop(_digest(ticket), ("", 0.0))
        if not user or until <= self._clock.monotonic():
            raise NotAuthenticated("This login link was used already or is too old.", hint="Ask for a new one.")
        return user

    def open(self, user: str, valid_s: float = SESSION_S) -> tuple[str, int]:
        """A session token and when it ends (milliseconds of wall time)."""
        until_ms = int((self._clock.now().timestamp() + valid_s) * 1000)
        body = {"user": user, "until_ms": until_ms, "id": secrets.token_hex(8)}
        text = _b64(json.dumps(body, sort_keys=True).encode())
        return f"{PREFIX}{text}.{_b64(self._sign(text))}", until_ms

    def user_of(self, token: str) -> str:
        """The user of a session token. Raises NotAuthenticated."""
        return str(self._read(token)["user"])

    def end(self, token: str) -> None:
        """The token works no longer. Raises NotAuthenticated if it never did."""
        body = self._read(token)
        now_ms = self._clock.now().timestamp() * 1000
        with self._lock:
            self._ended = {k: until for k, until in self._ended.items() if until > now_ms}
            self._ended[str(body["id"])] = float(body["until_ms"])

    def _read(self, token: str) -> dict[str, str | int]:
        text, _, signature = token.removeprefix(PREFIX).partition(".")
        if not hmac.compare_digest(_b64(self._sign(text)).encode(), signature.encode()):
            raise NotAuthenticated("The session token is not valid.", hint="Log in again.")
        try:
            body: dict[str, str | int] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError):
            raise NotAuthenticated("The session token is not valid.", hint="Log in again.") from None
        if float(body["until_ms"]) <= self._clock.now().timestamp() * 1000 or body["id"] in self._ended:
            raise NotAuthenticated("The session is over.", hint="Log in again.")
        return body

    def _sign(self, text: str) -> bytes:
        return hmac.digest(self._key, b"archipelago/session/v1\0" + text.encode(), "sha256")


def is_session(token: str) -> bool:
    """Whether a bearer token is a session token rather than a user's own."""
    return token.startswith(PREFIX)


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
