"""Asking about the party itself: how it is."""

from __future__ import annotations

import httpx

from flow.rest_client.http import HttpCalls
from flow.rest_client.remote_errors import raise_refusal
from flow.views.party import Health, PartyStatus
from flow.views.queue import QueueEntry


class PartyCalls(HttpCalls):
    """A party's health, peers and hosts."""

    def health(self) -> Health:
        """Whether the party works; needs no token. One that answers that it does not is no error."""
        response = self._sent("GET", "/health")
        if response.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            raise_refusal(response.status_code, response.content)
        return Health.model_validate_json(response.content)

    def status(self) -> PartyStatus:
        """The party's services, peers and hosts."""
        return self._ask(PartyStatus, "GET", "/party")

    def queue(self) -> list[QueueEntry]:
        """What has room at the party and what waits for it, in order."""
        return self._ask(list[QueueEntry], "GET", "/queue")

    def service_metrics(self) -> str:
        """What the party's services count of themselves, as Prometheus reads it."""
        return self._call("GET", "/metrics").decode()

    def reload(self) -> None:
        """Let the party's gateway read again whom it trusts."""
        self._call("POST", "/party/reload")
