"""Connections of strangers over loopback: what is silent, half or slow goes by itself, and crowds out nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from board.server import BoardServer
from party.errors import NotAuthenticated
from runtime.addresses import HostPort
from runtime.http.connections import Limits, Place
from runtime.http.guard import Guard
from runtime.http.server import HttpServer
from runtime.limits.waiting_room import Room
from tests.fakes.flow_party import fake_party, job_json

PATIENT = Limits(Room(8, 6), Room(6, 4), Room(4, 2), head_s=60, keep_s=60, drain_s=60, take_s=60)
STREAMS = "/streams"
MAX_HEAD_BYTES = 16 << 10


class House:
    """Answers at once; at /streams for as long as it is let, at /flood without end; /known asks for a name."""

    def __init__(self, limits: Limits, grace_s: float = 60) -> None:
        guard = Guard(self._app, who=self._who, most_bytes=lambda *_: 1 << 20, grace_s=grace_s)
        self.server = HttpServer(guard, HostPort("127.0.0.1", 0), "test.listen", limits)
        self.gone = threading.Event()

    async def _who(self, scope: Scope) -> str:
        if scope["path"] == "/refused":
            raise NotAuthenticated("Who are you?")
        return "ada" if scope["path"] == STREAMS else ""

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            if scope["path"] == STREAMS:
                await send({"type": "http.response.body", "body": b"open", "more_body": True})
                while (await receive())["type"] != "http.disconnect":
                    pass
            while scope["path"] == "/flood":
                await asyncio.wait_for(self._some(send), 30)
                if (await asyncio.wait_for(receive(), 30))["type"] == "http.disconnect":
                    break
            await send({"type": "http.response.body", "body": b"done"})
        finally:
            if scope["path"] in (STREAMS, "/flood"):
                self.gone.set()

    async def _some(self, send: Send) -> None:
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            message: Message = {"type": answer}
            await send(message)


Caller = Callable[[bytes], socket.socket]


@contextmanager
def house(**limits: object) -> Iterator[tuple[House, Caller]]:
    grace_s = limits.pop("grace_s", 60)
    made = House(replace(PATIENT, **limits), grace_s)
    made.server.start()
    with ExitStack() as held:
        held.callback(made.server.stop, 5.0)

        def call(said: bytes) -> socket.socket:
            line = held.enter_context(socket.create_connection(("127.0.0.1", made.server.port), timeout=60))
            line.sendall(said)
            return line

        yield made, call


def answer(line: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    said = b""
    while True:
        try:
            more = line.recv(65_536)
        except ConnectionResetError:
            return said
        if not more:
            return said
        said += more


def get(made: House, path: str = "/") -> str:
    return httpx.get(f"http://127.0.0.1:{made.server.port}{path}", timeout=60, trust_env=False).text


REQUEST = b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf"


@pytest.mark.parametrize("said", [b"", b"GET / HT", REQUEST % b"/"], ids=["silent", "half a head", "answered"])
def test_who_keeps_connections_pushes_out_their_own_and_others_are_answered(said: bytes) -> None:
    with house() as (made, call):
        lines = [call(said) for _ in range(40)]
        assert get(made) == "done"
        for line in lines[:20]:
            answer(line)  # ends: it was closed
        assert made.server.doors.count(Place.SILENT) <= PATIENT.silent.total


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nx: y\r\n"], ids=["silent", "line", "headers"])
def test_half_a_head_is_not_waited_for(said: bytes) -> None:
    with house(head_s=0.2) as (made, call):
        assert answer(call(said)) == b""
        assert get(made) == "done"


def test_a_trickle_of_headers_earns_no_time() -> None:
    with house(head_s=0.3) as (_made, call):
        line = call(b"GET / HTTP/1.1\r\n")
        line.settimeout(0.02)
        assert trickled(line, b"x: y\r\n") < MAX_HEAD_BYTES


def trickled(line: socket.socket, piece: bytes) -> int:
    """How many bytes the other side took, piece by piece, before it closed."""
    sent = 0
    while True:
        try:
            line.sendall(piece)
            sent += len(piece)
            if line.recv(1) == b"":
                return sent
        except TimeoutError:
            continue
        except OSError:
            return sent


def test_half_a_body_is_answered_and_closed() -> None:
    with house(grace_s=0.2, drain_s=0.2) as (_made, call):
        assert answer(call(HALF)).startswith(b"HTTP/1.1 408")


def test_a_kept_connection_is_closed_after_a_while_and_half_of_the_next_head_sooner() -> None:
    with house(keep_s=0.2) as (_made, call):
        assert answer(call(REQUEST % b"/")).endswith(b"done\r\n0\r\n\r\n")
    with house(head_s=0.2) as (_made, call):
        assert answer(call((REQUEST % b"/") + b"GET /")).endswith(b"done\r\n0\r\n\r\n")


def test_strangers_with_half_bodies_crowd_out_neither_streams_nor_requests() -> None:
    with house() as (made, call):
        stream = call(REQUEST % b"/streams")
        while b"open" not in stream.recv(65_536):
            pass
        lines = [call(HALF) for _ in range(30)]
        for line in lines[:20]:
            assert answer(line) == b""
        assert get(made) == "done"
        assert not made.gone.is_set()
        assert made.server.doors.count(Place.KNOWN) == 1
        stream.close()
        assert made.gone.wait(60)


def test_a_user_with_too_many_streams_ends_their_own_oldest() -> None:
    with house() as (_made, call):
        lines = [call(REQUEST % b"/streams") for _ in range(PATIENT.known.of_one_address + 1)]
        assert any(b"open" in answer(line) for line in lines[:1])


def test_who_takes_nothing_of_an_answer_is_closed() -> None:
    with house(take_s=0.2) as (made, call):
        call(REQUEST % b"/flood")
        assert made.gone.wait(60)


def test_the_sender_of_a_long_body_hears_that_it_is_refused() -> None:
    """The body is not kept, but taken for a while: a connection that is closed at once would lose the answer."""
    with house() as (made, _call):
        refused = httpx.post(f"http://127.0.0.1:{made.server.port}/refused", content=b"x" * (8 << 20), trust_env=False)
        assert refused.status_code == 401
    with house(drain_s=0.2) as (_made, call):
        line = call(b"POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        assert answer(line).startswith(b"HTTP/1.1 401")


def crowd(held: ExitStack, port: int, count: int) -> None:
    """Strangers who say nothing, half a head, half a body, or a whole request and then nothing."""
    for number in range(count):
        line = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        with suppress(OSError):
            line.sendall((b"", b"GET /v1", HALF, REQUEST % b"/v1/health")[number % 4])


@pytest.mark.parametrize("strangers", [60, pytest.param(5_000, marks=pytest.mark.soak)])
def test_silent_connections_stop_no_login_no_stream_and_no_slow_upload(tmp_path: Path, strangers: int) -> None:
    with fake_party(tmp_path) as party, ExitStack() as held:
        board = BoardServer(party.home)
        board.start()
        held.callback(board.stop, 5.0)
        stream = party.client.events(since=party.service.wait_events(0, 0))
        job = party.client.submit(job_json())
        assert next(stream).job == job

        def slowly() -> Iterator[bytes]:
            yield b"id,x\n"
            for _ in range(10):
                for port in (party.server.port, board.port):
                    crowd(held, port, strangers // 10)
                yield b"1,2\n" + b"2,3\n" * 5_000

        sent = httpx.put(
            f"{party.client.url}/v1/tables/slow/upload",
            headers={"Authorization": f"Bearer {party.home.token()}"},
            content=slowly(),
            timeout=60,
            trust_env=False,
        )
        assert sent.status_code == 201, sent.text
        party.home.user_file.set_password("admin", "correct horse battery")
        assert party.client.as_user("").log_in("admin", "correct horse battery").user == "admin"
        browser = held.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{board.port}", trust_env=False))
        page = browser.get("/login").text
        form = {"csrf": page.split('name="csrf" value="')[1].split('"')[0], "token": party.home.token()}
        assert browser.post("/login", data=form).status_code == 303
        job = party.client.submit(job_json())
        assert next(stream).job == job
        stream.close()
