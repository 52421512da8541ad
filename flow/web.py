"""How a room serves HTTP: uvicorn in a thread of its own, and a guard before every route.

A door of its own beside `flow.client`, because whoever only asks must not pay for importing a server.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from party.addresses import HostPort, require_free
from party.errors import InvalidInput, Unavailable

__all__ = ["MAX_BODY_BYTES", "BodyTooLarge", "Guard", "HttpServer"]

MAX_BODY_BYTES = 4 << 20
START_S = 20.0
DRAIN_S = 2
BACKLOG = 128

PLAIN_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BodyTooLarge(InvalidInput):
    """The request body is larger than this route accepts."""

    code = "flow.body_too_large"


class NotServing(Unavailable):
    """The HTTP server did not come up."""

    code = "flow.not_serving"


class Guard:
    """ASGI middleware: bodies above the limit are refused while they arrive, answers carry the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        unlimited: Callable[[str, str], bool] = lambda _method, _path: False,
        headers: Mapping[str, str] = PLAIN_HEADERS,
    ) -> None:
        """Wrap `app`.

        Args:
            app: What is guarded.
            max_body_bytes: The largest request body.
            unlimited: Says which requests (method, path) may be of any size, because their route streams them.
            headers: Set on every answer that does not set them itself.
        """
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._unlimited = unlimited
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._unlimited(scope["method"], scope["path"]):
            await self._app(scope, receive, send_guarded)
        else:
            await self._limited(scope, receive, send_guarded)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        too_large = BodyTooLarge(
            f"The request body is larger than {self._max_body_bytes} bytes.",
            hint="Large data is uploaded as a table: PUT /v1/tables/NAMESPACE/NAME.",
        )
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._max_body_bytes:
            await _refuse(too_large, send)
            return
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body_bytes:
                raise too_large
            return message

        await self._app(scope, receive_counted, send)


class HttpServer:
    """One ASGI application on one address, in a thread of its own."""

    def __init__(self, app: ASGIApp, listen: HostPort, setting: str) -> None:
        """Prepare; nothing is bound yet.

        Args:
            app: What is served.
            listen: Where; port 0 takes any free one.
            setting: The setting that says so, for the message when the port is taken.
        """
        self._app = app
        self._listen = listen
        self._setting = setting
        self._server: _ReadyServer | None = None
        self._thread: threading.Thread | None = None
        self.port = listen.port

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
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=30,
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


async def _refuse(error: BodyTooLarge, send: Send) -> None:
    body = json.dumps({"code": error.code, "message": error.message, "hint": error.hint, "field": None}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
