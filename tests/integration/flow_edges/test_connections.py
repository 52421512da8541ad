"""Connections of strangers over loopback: what is silent, half or slow goes by itself, and crowds out nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import h11
import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from board.server import BoardServer
from party.errors import NotAuthenticated
from runtime.addresses import HostPort
from runtime.http.connections import Limits, Stage
from runtime.http.guard import Guard
from runtime.http.pieces import FREE_PIECES, LEAST_BYTES
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
        assert made.server.doors.count(Stage.SILENT) <= PATIENT.silent.total


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
        assert made.server.doors.count(Stage.KNOWN) == 1
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


# A request in pieces: each costs a step of the server's one thread, however small it is

POST = b"POST %s HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
CRUMBS = b"1\r\n \r\n" * 5000
DEAR = {
    "chunks of a byte": POST % b"/" + CHUNKED + CRUMBS,
    "lines of a head": POST % b"/" + b"a:b\r\n" * 3000 + b"\r\n",
    "lines of trailers": POST % b"/" + CHUNKED + b"1\r\n \r\n0\r\n" + b"a:b\r\n" * 3000 + b"\r\n",
    "a long head in one go": POST % b"/" + b"a: " + b"b" * (20 << 10) + b"\r\n\r\n",
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every event that h11 made of what came."""
    events: list[object] = []
    next_event = h11.Connection.next_event

    def noted(conversation: h11.Connection) -> object:
        events.append(next_event(conversation))
        return events[-1]

    monkeypatch.setattr(h11.Connection, "next_event", noted)
    return events


@pytest.mark.parametrize("said", DEAR.values(), ids=DEAR)
def test_a_request_in_crumbs_is_refused_before_it_is_parsed(said: bytes, parsed: list[object]) -> None:
    with house(drain_s=0.2) as (made, call):
        refused = answer(call(said))
        assert refused.startswith(b"HTTP/1.1 400")
        assert len(parsed) < FREE_PIECES + 10
        assert (b"runtime.body_in_pieces" in refused) == (CHUNKED in said)
        assert get(made) == "done"


@pytest.mark.parametrize("said", [b"", POST % b"/" + b"content-length: 9999\r\n\r\n", POST % b"/" + CHUNKED + b"1;"])
def test_a_request_of_a_byte_a_packet_is_not_listened_to(said: bytes, parsed: list[object]) -> None:
    with house(drain_s=0.2) as (_made, call):
        line = call(said)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.settimeout(0.002)  # what is sent meanwhile is a packet of its own
        trickled(line, b"x")  # ends: it was closed
        assert len(parsed) < FREE_PIECES * 3


def test_what_comes_after_the_answer_is_dropped_unparsed(parsed: list[object]) -> None:
    with house(drain_s=0.2) as (_made, call):
        line = call(POST % b"/refused" + CHUNKED)
        assert b"HTTP/1.1 401" in line.recv(65_536)
        with suppress(OSError):
            line.sendall(CRUMBS * 10)
        assert b"HTTP/1.1" not in answer(line)
        assert len(parsed) < FREE_PIECES + 10


def test_requests_that_do_not_wait_for_answers_share_one_allowance() -> None:
    with house() as (made, call):
        answered = answer(call(REQUEST % b"/" * 500)).count(b"HTTP/1.1 200")
        assert 10 < answered <= FREE_PIECES
        with httpx.Client(base_url=f"http://127.0.0.1:{made.server.port}", trust_env=False) as patient:
            assert [patient.get("/").text for _ in range(FREE_PIECES)] == ["done"] * FREE_PIECES


def test_an_upload_in_honest_chunks_is_of_any_length() -> None:
    with house() as (made, _call):
        pieces = (b"x" * LEAST_BYTES for _ in range(3000))
        sent = httpx.post(f"http://127.0.0.1:{made.server.port}/", content=pieces, timeout=60, trust_env=False)
        assert sent.status_code == 200


def test_a_user_whose_upload_comes_in_crumbs_hears_it_and_nothing_is_stored(tmp_path: Path) -> None:
    with fake_party(tmp_path) as party:
        refused = httpx.put(
            f"{party.client.url}/v1/tables/fine/crumbs",
            headers={"Authorization": f"Bearer {party.home.token()}"},
            content=(letter.to_bytes() for letter in b"id,x\n" + b"1,2\n" * FREE_PIECES),
            timeout=60,
            trust_env=False,
        )
        assert (refused.status_code, refused.json()["code"]) == (400, "runtime.body_in_pieces")
        assert party.client.tables() == []


def test_what_is_no_http_in_the_middle_of_an_answered_body_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with house() as (_made, call):
        line = call(POST % b"/refused" + CHUNKED)
        assert b"HTTP/1.1 401" in line.recv(65_536)
        line.sendall(b"no chunk\r\n")
        answer(line)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("strangers", [24, pytest.param(512, marks=pytest.mark.soak)])
def test_bodies_in_crumbs_keep_nobody_from_rest_and_board(tmp_path: Path, strangers: int) -> None:
    with fake_party(tmp_path) as party, ExitStack() as held:
        board = BoardServer(party.home)
        board.start()
        held.callback(board.stop, 5.0)
        doors = (party.server.port, b"/v1/sessions/password", "/v1/health"), (board.port, b"/login", "/login")
        for port, path, honest in doors:
            with ExitStack() as crowd:
                for _ in range(strangers):
                    line = crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                    line.sendall(POST % path + CHUNKED + CRUMBS)
                url = f"http://127.0.0.1:{port}{honest}"
                assert httpx.get(url, timeout=60, trust_env=False).status_code == 200
                assert line.recv(65_536).startswith(b"HTTP/1.1 400")
            assert httpx.get(url, timeout=60, trust_env=False).status_code == 200
