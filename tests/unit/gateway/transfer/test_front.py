"""The thread that takes connections outlives what one of them does to it, and the process does not outlive it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from pathlib import Path

import pytest

from gateway.transfer.connection_caps import Caps
from gateway.transfer.front import Front, FrontTimes
from gateway.transfer.home_watch import HomeWatch, files_of
from party.errors import PartyNotTrusted
from party.home import PartyHome
from runtime.addresses import HostPort, free_port
from tests.fakes.hellos import HALF_HELLO, whole_hello


class Epoll:
    """An epoll that has no room for the first connections, and may break."""

    def __init__(self, real: select.epoll, refusals: int, broken: bool) -> None:
        self._real, self._left, self._broken = real, refusals, broken
        self.close, self.unregister = real.close, real.unregister

    def register(self, what: socket.socket, events: int) -> None:
        if self._left:
            self._left -= 1
            raise OSError(28, "No space left on device")
        self._real.register(what, events)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if self._broken:
            raise ValueError("broken")
        return self._real.poll(timeout)


def made(
    folder: Path,
    died: threading.Event,
    refusals: int = 0,
    broken: bool = False,
    times: FrontTimes | None = None,
) -> tuple[Front, HostPort]:
    address = HostPort("127.0.0.1", free_port())
    front = Front(address, folder / "inner", Caps.within(1024), lambda *_: None, died.set, times or FrontTimes())
    front._epoll = Epoll(front._epoll, refusals, broken)  # type: ignore[assignment]
    return front, address


def test_a_connection_the_door_cannot_watch_is_closed_and_the_door_stays_open(tmp_path: Path) -> None:
    died = threading.Event()
    front, address = made(tmp_path, died, refusals=1)
    front.start()
    try:
        with socket.create_connection(address, 30) as first:
            assert first.recv(1) == b""
        with socket.create_connection(address, 30) as second:
            second.sendall(b"no TLS at all")
            with contextlib.suppress(ConnectionResetError):
                assert second.recv(1) == b""
    finally:
        front.stop()
    assert not died.is_set()


def test_the_process_is_told_to_end_when_the_thread_of_the_door_dies(tmp_path: Path) -> None:
    died = threading.Event()
    front, _ = made(tmp_path, died, broken=True)
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        front.start()
        assert died.wait(30)
        front._thread.join(30)
    finally:
        threading.excepthook = hook
        front.stop()


def test_the_watch_of_the_home_outlives_files_it_cannot_read(tmp_path: Path) -> None:
    told = []

    def changed() -> None:
        told.append(1)
        if len(told) == 1:
            raise PermissionError(13, "Permission denied")

    watch = HomeWatch(tmp_path, files_of(tmp_path), changed, lambda: None)
    (tmp_path / "card.json").write_text("{}")
    watch.look()
    assert "Permission denied" in watch.problem
    watch.look()
    assert not watch.problem


def test_a_card_that_vanishes_while_cards_are_read_is_no_longer_there(
    homes: dict[str, PartyHome], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = homes["beta"]
    real = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "alpha.json":
            raise FileNotFoundError(2, os.strerror(2), str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert [str(party) for party in home.held_cards()] == ["gamma"]


def test_a_port_that_cannot_be_watched_again_yet_is_tried_again(tmp_path: Path) -> None:
    died = threading.Event()
    front, address = made(tmp_path, died, times=FrontTimes(pause_s=0.0))
    front._out_of(OSError(24, "Too many open files"))
    front._epoll._left = 2  # type: ignore[attr-defined]
    front.start()
    try:
        with socket.create_connection(address, 30) as caller:
            caller.sendall(b"no TLS at all")
            with contextlib.suppress(ConnectionResetError):
                assert caller.recv(1) == b""
    finally:
        front.stop()
    assert not died.is_set()


def goes_on_until_ended(caller: socket.socket, byte: bytes) -> bool:
    """Send a byte again and again; whether the other side ends the connection."""
    caller.settimeout(0.01)
    for _ in range(3000):
        try:
            caller.sendall(byte)
            if caller.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    ("shown", "byte"),
    [(b"", b""), (HALF_HELLO, b""), (HALF_HELLO, b"x"), (whole_hello(), b""), (whole_hello(), b"x")],
    ids=["nothing", "half a hello", "a hello byte by byte", "a whole hello", "a handshake byte by byte"],
)
def test_a_caller_that_has_not_shown_who_it_is_in_time_is_ended(tmp_path: Path, shown: bytes, byte: bytes) -> None:
    died = threading.Event()
    front, address = made(tmp_path, died, times=FrontTimes(show_s=0.2, look_every_s=0.05))
    with socket.socket(socket.AF_UNIX) as behind:
        behind.bind(str(tmp_path / "inner"))
        behind.listen()
        front.start()
        try:
            with socket.create_connection(address, 30) as caller:
                caller.sendall(shown)
                assert goes_on_until_ended(caller, byte)
        finally:
            front.stop()
    assert not died.is_set()


def test_a_change_of_cards_while_the_gateway_starts_is_not_missed(tmp_path: Path) -> None:
    told = []
    as_read = files_of(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    watch = HomeWatch(tmp_path, as_read, lambda: told.append(1), lambda: None)
    watch.look()
    watch.look()
    assert told == [1]


def test_a_trusted_card_that_vanishes_while_it_is_read_is_not_held(
    homes: dict[str, PartyHome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> bytes:
        raise FileNotFoundError(2, os.strerror(2), str(path))

    monkeypatch.setattr(Path, "read_bytes", gone)
    with pytest.raises(PartyNotTrusted, match="holds no card of 'alpha'"):
        homes["beta"].trusted_card("alpha")
