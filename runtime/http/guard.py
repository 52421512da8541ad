"""What stands before every route of an HTTP server of ours: who calls comes first, then the body, then the route.

Nothing of a body is read before the caller is known, but for routes that are open to all, which take little. A body
has a largest size, a least pace and a least size of its pieces. It is whole before the route hears of it, but where the
route streams it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.clock import Clock, SystemClock
from runtime.error_kinds import http_status
from runtime.errors import BodyTooLarge, BodyTooSlow, PlatformError
from runtime.http.connections import recognise, require_heard

MAX_DIGITS = 12  # of a body's declared size

PLAIN_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pace:
    """How long a body may keep us waiting: `left_s` seconds, and what it brings earns time again."""

    GRACE_S = 20.0
    LEAST_BYTES_S = 1024.0

    def __init__(self, clock: Clock, grace_s: float = GRACE_S) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self.left_s = grace_s
        self._done = False

    async def next(self, receive: Receive) -> Message:
        """The next part of the body; only waiting counts. Raises BodyTooSlow."""
        if self._done:
            return await receive()
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self.left_s):
                message = await receive()
        except TimeoutError:
            self._done = True
            raise BodyTooSlow(
                "The request body did not come in time.", hint=f"It takes {self.LEAST_BYTES_S:.0f} bytes a second."
            ) from None
        earned_s = len(message.get("body", b"")) / self.LEAST_BYTES_S
        self.left_s = min(self._grace_s, self.left_s - (self._clock.monotonic() - begun) + earned_s)
        self._done = not message.get("more_body", False)
        return message


def _plain(error: PlatformError) -> Response:
    body = {"code": error.code, "message": error.message, "hint": error.hint, "field": None}
    return Response(json.dumps(body), status_code=http_status(error), media_type="application/json")


async def _anybody(_scope: Scope) -> str:
    return ""


class Guard:
    """ASGI middleware; see the module. Answers carry the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        who: Callable[[Scope], Awaitable[str]] = _anybody,
        most_bytes: Callable[[str, str], int | None],
        answer: Callable[[PlatformError], Response] = _plain,
        headers: Mapping[str, str] = PLAIN_HEADERS,
        grace_s: float = Pace.GRACE_S,
    ) -> None:
        """Wrap `app`.

        Args:
            app: What is guarded.
            who: The name of the user who calls; empty where that need not be known. Raises PlatformError.
            most_bytes: The largest body of a request (method, path); None if its route streams it.
            answer: What is answered to a request that does not come to its route.
            headers: Set on every answer that does not set them itself.
            grace_s: How long a body may keep us waiting before it has brought anything.
        """
        self._app = app
        self._who = who
        self._most_bytes = most_bytes
        self._answer = answer
        self._headers = headers
        self._grace_s = grace_s
        self._clock = SystemClock()

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

        try:
            body = await self._let_in(scope, receive)
        except PlatformError as error:
            await self._answer(error)(scope, receive, send_guarded)
        else:
            if body is not None:
                await self._app(scope, body, send_guarded)

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive | None:
        """Where the route reads the body; None if its sender left in the middle of it."""
        if user := await self._who(scope):
            recognise(scope, user)
        pace = Pace(self._clock, self._grace_s)

        async def receive_paced() -> Message:
            message = await pace.next(receive)
            require_heard(scope)
            return message

        most = self._most_bytes(scope["method"], scope["path"])
        return receive_paced if most is None else await _whole(scope, receive_paced, most)


async def _whole(scope: Scope, receive: Receive, most: int) -> Receive | None:
    """The body once more, all of it read; None if its sender left. Raises BodyTooLarge or BodyTooSlow."""
    too_large = BodyTooLarge(
        f"The request body is larger than {most} bytes.",
        hint="Large data is uploaded as a table.",
    )
    declared = Headers(scope=scope).get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or len(declared) > MAX_DIGITS or int(declared) > most:
        raise too_large
    body = bytearray()
    last: Message = {"more_body": True}
    while last.get("more_body", False):
        last = await receive()
        if last["type"] == "http.disconnect":
            return None
        body += last.get("body", b"")
        if len(body) > most:
            raise too_large
    first: list[Message] = [{**last, "body": bytes(body)}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
