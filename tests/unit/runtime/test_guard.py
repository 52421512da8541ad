"""Who calls comes before the body, and a body has a largest size and a least pace."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from party.errors import NotAuthenticated
from runtime.errors import BodyTooSlow
from runtime.http.guard import Guard, Pace
from tests.fakes.clock import FakeClock


class Called:
    """One request to a guarded application that reads its whole body."""

    def __init__(self, *parts: Message, **how: Any) -> None:
        self.parts = list(parts)
        self.reads = 0
        self.seen: bytes | None = None
        self.sent: list[Message] = []
        self.guard = Guard(self._app, **{"most_bytes": lambda _method, _path: 10, **how})

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen, more = b"", True
        while more:
            message = await receive()
            self.seen += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        self.reads += 1
        return self.parts.pop(0) if self.parts else await asyncio.Event().wait()

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def go(self, **headers: str) -> int:
        self.run(**headers)
        return self.sent[0]["status"]

    def run(self, **headers: str) -> None:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/x", "headers": lines}
        asyncio.run(self.guard(scope, self._receive, self._send))


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def nobody(_scope: Scope) -> str:
    raise NotAuthenticated("Who are you?")


def test_no_byte_of_a_body_is_read_before_its_sender_is_known() -> None:
    called = Called(part(b"x", more=False), who=nobody)
    called.go()
    assert (called.reads, called.seen) == (0, None)


def test_a_body_in_parts_comes_to_the_route_whole() -> None:
    called = Called(part(b"ab"), part(b"cd", more=False))
    assert called.go() == 200
    assert called.seen == b"abcd"


@pytest.mark.parametrize("declared", ["11", "-1", "x", "9" * 5000, "\u0661"])
def test_a_body_that_says_it_is_too_large_is_not_read(declared: str) -> None:
    called = Called(part(b"x", more=False))
    assert called.go(content_length=declared) == 413
    assert called.reads == 0


def test_a_body_that_grows_too_large_does_not_come_to_the_route() -> None:
    called = Called(part(b"123456"), part(b"789012", more=False))
    assert called.go() == 413
    assert called.seen is None
    assert json.loads(called.sent[1]["body"])["code"] == "runtime.body_too_large"


def test_a_sender_who_leaves_in_the_middle_is_forgotten() -> None:
    called = Called(part(b"1"), {"type": "http.disconnect"})
    called.run()
    assert (called.seen, called.sent) == (None, [])


def test_half_a_body_is_not_waited_for() -> None:
    called = Called(part(b"1"), grace_s=0.05)
    assert called.go() == 408
    assert called.seen is None


def test_a_slow_body_passes_and_a_trickle_does_not() -> None:
    """A link of 2 KiB a second sends 4 MiB; one of a byte a second does not send a hundred."""

    async def sent(part_bytes: int, every_s: float, parts: int) -> int:
        clock = FakeClock()
        pace = Pace(clock)

        async def receive() -> Message:
            clock.advance(every_s)
            return part(b"x" * part_bytes)

        for number in range(parts):
            message = await pace.next(receive)
            assert message["more_body"]
            if pace.left_s <= 0:
                return number
        return parts

    assert asyncio.run(sent(2048, 1.0, 2048)) == 2048
    assert asyncio.run(sent(40_960, 20.0, 100)) == 100
    assert asyncio.run(sent(1, 1.0, 100)) < 25


def test_a_fast_beginning_buys_no_endless_wait() -> None:
    clock = FakeClock()
    pace = Pace(clock, grace_s=0.05)

    async def fast() -> Message:
        return part(b"x" * (1 << 20))

    async def silent() -> Message:
        return await asyncio.Event().wait()

    async def go() -> None:
        await pace.next(fast)
        with pytest.raises(BodyTooSlow):
            await pace.next(silent)

    asyncio.run(go())
