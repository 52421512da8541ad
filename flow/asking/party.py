"""Asking about the party itself: how it is."""

from __future__ import annotations

from flow.asking.http import HttpCalls
from flow.rest.views import Health, PartyStatus


class PartyCalls(HttpCalls):
    """A party's health, peers and hosts."""

    def health(self) -> Health:
        """Whether the REST interface answers; needs no token."""
        return self._ask(Health, "GET", "/health")

    def status(self) -> PartyStatus:
        """The party's services, peers and hosts."""
        return self._ask(PartyStatus, "GET", "/party")

    def reload(self) -> None:
        """Let the party's gateway read again whom it trusts."""
        self._call("POST", "/party/reload")
