"""An HTTP server of ours: uvicorn in a thread of its own, with doors before it (runtime/http/connections.py)."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from runtime.addresses import HostPort, require_free
from runtime.errors import Unavailable
from runtime.http.connections import Connection, Doors, Limits

START_S = 20.0
DRAIN_S = 2
BACKLOG = 256  # connections of which the system tells at a time, too


class NotServing(Unavailable):
    """The HTTP server did not come up."""

    code = "runtime.not_serving"


class HttpServer:
    """One ASGI application on one address, in a thread of its own."""

    def __init__(self, app: ASGIApp, listen: HostPort, setting: str, limits: Limits | None = None) -> None:
        """Prepare; nothing is bound yet.

        Args:
            app: What is served.
            listen: Where; port 0 takes any free one.
            setting: The setting that says so, for the message when the port is taken.
            limits: What connections may cost; by default what this process can bear.
        """
        self._app = app
        self._listen = listen
        self._setting = setting
        self._doors = Doors(limits or Limits.here())
        self._server: _ReadyServer | None = None
        self._thread: threading.Thread | None = None
        self.port = listen.port

    @property
    def doors(self) -> Doors:
        """Who is connected."""
        return self._doors

    def start(self) -> None:
        """Serve; ready when it returns. Raises PortInUse or NotServing."""
        if self._listen.port:
            require_free(self._listen, self._setting)
        bound = socket.create_server(
            (self._listen.host, self._listen.port),
            family=socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET,
            backlog=BACKLOG,
        )
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each small answer waits for an acknowledgement
        self.port = bound.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=cast("type[asyncio.Protocol]", partial(Connection, self._doors)),
            loop="asyncio",
            backlog=BACKLOG,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=math.ceil(self._doors.limits.keep_s),
        )
        server = _ReadyServer(config)
        thread = threading.Thread(target=server.run, args=([bound],), name=f"http-{self.port}", daemon=True)
        thread.start()
        self._server, self._thread = server, thread
        if not server.settled.wait(START_S) or not server.started:
            self.stop(1.0)
            bound.close()
            raise NotServing(f"The HTTP server on {self._listen} ({self._setting}) did not start.", hint="See its log.")

    def stop(self, grace_s: float) -> None:
        """Finish open requests, or drop them when the time is over."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(grace_s)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(1.0)
        self._server = self._thread = None


class _ReadyServer(uvicorn.Server):
    """A server that says when it has started or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()
