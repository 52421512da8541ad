"""Asking about the party itself: how it is, and who comes in."""

from __future__ import annotations

from flow.asking.http import HttpCalls
from flow.rest.views import Health, PartyStatus, Session, Ticket


class PartyCalls(HttpCalls):
    """A party's health, peers, hosts and sessions."""

    def health(self) -> Health:
        """Whether the REST interface answers; needs no token."""
        return self._ask(Health, "GET", "/health")

    def status(self) -> PartyStatus:
        """The party's services, peers and hosts."""
        return self._ask(PartyStatus, "GET", "/party")

    def ticket(self, valid_s: int = 120) -> Ticket:
        """A single-use login ticket for this user."""
        return self._ask(Ticket, "POST", "/tickets", params={"valid_s": valid_s})

    def open_session(self) -> Session:
        """A session of this user."""
        return self._ask(Session, "POST", "/sessions")

    def redeem(self, ticket: str) -> Session:
        """The session that a login ticket opens, once."""
        return self._ask(Session, "POST", "/sessions/ticket", json={"ticket": ticket})

    def end_session(self) -> None:
        """End the session that this client's token stands for."""
        self._call("DELETE", "/sessions")

    def reload(self) -> None:
        """Let the party's gateway read again whom it trusts."""
        self._call("POST", "/party/reload")
