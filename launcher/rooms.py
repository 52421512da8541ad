"""All rooms of one party as one service: started from the lowest floor up, stopped from the highest down."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import board.server
import cluster_manager.server
import flow.server
import gateway.server
import node_manager.server
from party.home import PartyHome
from party.service import Service


class Rooms:
    """Several services that live and die together."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._started: list[Service] = []

    def start(self) -> None:
        """Start each service in turn; if one fails, stop those already started and raise its error."""
        try:
            for service in self._services:
                service.start()
                self._started.append(service)
        except BaseException:
            self.stop(grace_s=1.0)
            raise

    def stop(self, grace_s: float) -> None:
        """Stop what was started, highest floor first, each whatever becomes of the others."""
        with ExitStack() as stopping:
            for service in self._started:
                stopping.callback(service.stop, grace_s)
        self._started = []


def serve(home: PartyHome) -> Service:
    """Every room of the party at `home`."""
    return Rooms(
        [
            node_manager.server.serve(home),
            gateway.server.serve(home),
            cluster_manager.server.serve(home),
            flow.server.serve(home),
            board.server.serve(home),
        ]
    )
