"""Flow as a service: the store, the scheduler and REST, started together and stopped together."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from pathlib import Path

from cluster_manager.client import ClusterClient
from flow.policy_book import PolicyBook
from flow.rest.app import create_app
from flow.rest.backends import Backends, UserBook
from flow.rest.pulse import Pulse
from flow.rest.sessions import SessionBook
from flow.rest.visitors import VISITOR_PURPOSE, Visitors
from flow.rest.vital_checks import has_full, vitals_of
from flow.rooms.party_store import PartyStore
from flow.rooms.ports import Rooms
from flow.service import FlowService
from gateway.client import GatewayAdmin
from party.home import SETTINGS_FILE, PartyHome
from party.seal import derive
from runtime.addresses import parse_listen, require_free
from runtime.clock import SystemClock
from runtime.disk.files import make_folder
from runtime.http.server import HttpServer
from runtime.limits.guessing import Brake, Turns
from runtime.service import Service
from storage.client import Store


class FlowServer:
    """One party's Flow. Its REST interface is up when `start` returns."""

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._held = ExitStack()  # what `stop` lets go of last
        self._service: FlowService | None = None
        self._pulse: Pulse | None = None
        self._http: HttpServer | None = None

    @property
    def port(self) -> int:
        """Where REST listens."""
        return self._http.port if self._http else 0

    def start(self) -> None:
        """Open the store, take up unfinished jobs, then serve. Raises PortInUse before anything else is touched."""
        listen = parse_listen(self._home.settings.flow.listen)
        if listen.port:
            require_free(listen, "flow.listen")
        try:
            app = create_app(self._backends())
            self._http = HttpServer(app, listen, "flow.listen")
            self._http.start()
        except BaseException:
            self.stop(1.0)
            raise

    def stop(self, grace_s: float) -> None:
        """End open streams and requests, then Flow itself."""
        if self._pulse is not None:
            self._pulse.stop()
        if self._http is not None:
            self._http.stop(grace_s)
        if self._service is not None:
            self._service.close(grace_s)
        self._service = self._pulse = self._http = None
        self._held.close()

    def _backends(self) -> Backends:
        """Flow, at work, and the rooms below: one client of each, for Flow and for REST."""
        home = self._home
        gateway = self._held.enter_context(closing(GatewayAdmin(home.socket("gateway-admin"))))
        cluster = self._held.enter_context(closing(ClusterClient(home.socket("cluster"))))
        store = Store(home.store)
        policy = PolicyBook(home.root / SETTINGS_FILE, lambda: (home.party, *home.held_cards()))
        rooms = Rooms(
            gateway, cluster, PartyStore(store), str(home.socket("gateway")), home.store, full=lambda: has_full(home)
        )
        self._service = service = FlowService.open(home, policy, rooms)
        service.start()
        self._pulse = pulse = Pulse(service)
        return Backends(
            party=home.party,
            fingerprint=home.card.fingerprint,
            service=service,
            policy=policy,
            store=store,
            gateway=gateway,
            cluster=cluster,
            book=UserBook(home.user_file),
            sessions=SessionBook(home.state("flow") / "sessions.json", SystemClock()),
            brake=Brake(SystemClock()),
            turns=Turns(),
            visitors=Visitors(derive(home.master, VISITOR_PURPOSE)),
            pulse=pulse,
            vitals=vitals_of(home, service, gateway, cluster),
            spool=_empty(home.state("flow") / "uploads"),
            parties=lambda: (home.party, *home.trusted()),
            clock=SystemClock(),
        )


def serve(home: PartyHome) -> Service:
    """Flow of the party at `home`, not yet started."""
    return FlowServer(home)


def _empty(folder: Path) -> Path:
    """The folder without what an earlier run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    return folder
