"""All rooms of one party as one service: started from the lowest floor up, stopped from the highest down.

The gateway, which strangers can reach, runs in a process of its own; the others share this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from launcher.gateway_process import GatewayProcess
from party.home import PartyHome
from runtime import processes
from runtime.service import Service

Others = tuple[Sequence[Service], Sequence[Service]]


class LauncherRooms:
    """Several services that live and die together.

    Args:
        gateway: Begun first, so that it comes up while the others are imported.
        others: Makes the others: those below the gateway, and those above.
    """

    def __init__(self, gateway: GatewayProcess, others: Callable[[], Others]) -> None:
        self._gateway = gateway
        self._others = others
        self._started: list[Service] = []

    def start(self) -> None:
        """Start each service in turn; if one fails, stop those already started and raise its error."""
        try:
            self._started.append(self._gateway)
            self._gateway.begin()
            below, above = self._others()
            for service in (*below, self._gateway, *above):
                service.start()
                if service is not self._gateway:
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
    """Every room of the party at `home`. This process is noted as its launcher at once, so that it can be stopped."""
    processes.note(home.process_file("launcher"), os.getpid())
    return LauncherRooms(GatewayProcess(home), lambda: _others(home))


def _others(home: PartyHome) -> Others:
    import board.server
    import cluster_manager.server
    import flow.server
    import node_manager.server

    below = [node_manager.server.serve(home)]
    return below, [cluster_manager.server.serve(home), flow.server.serve(home), board.server.serve(home)]
