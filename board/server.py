"""The board as a service: pages of one party on its own address."""

from __future__ import annotations

from board.app import create_app
from board.cookies import VisitCookie
from flow.client import VISITOR_PURPOSE, FlowClient, Visitors, url_of
from party.home import PartyHome
from party.seal import derive
from runtime.addresses import parse_listen
from runtime.http.server import HttpServer
from runtime.service import Service

COOKIE_PURPOSE = b"board-cookie"


class BoardServer:
    """One party's board. Its pages are up when `start` returns, whether or not Flow answers yet."""

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._flow: FlowClient | None = None
        self._http: HttpServer | None = None

    @property
    def port(self) -> int:
        """Where the pages are."""
        return self._http.port if self._http else 0

    def start(self) -> None:
        """Serve the pages. Raises PortInUse."""
        home = self._home
        self._flow = FlowClient(url_of(home))
        cookie = VisitCookie(derive(home.master, COOKIE_PURPOSE), home.party, https=home.settings.board.https)
        visitors = Visitors(derive(home.master, VISITOR_PURPOSE))
        app = create_app(self._flow, cookie, visitors, home.party)
        self._http = HttpServer(app, parse_listen(home.settings.board.listen), "board.listen")
        self._http.start()

    def stop(self, grace_s: float) -> None:
        """End open pages and streams."""
        if self._http is not None:
            self._http.stop(grace_s)
        if self._flow is not None:
            self._flow.close()
        self._http = self._flow = None


def serve(home: PartyHome) -> Service:
    """The board of the party at `home`, not yet started."""
    return BoardServer(home)
