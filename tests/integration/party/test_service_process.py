"""`python -m ROOM --home DIR` as a real process: ready, signals, exit codes, log."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from party.home import PartyHome
from party.home_init import create_home

ROOM = """
from __future__ import annotations
import socket, sys, threading
from runtime import log
from party.home import PartyHome
from party.main import run_forever
from runtime.addresses import parse_listen, require_free

class Server:
    def __init__(self, home): self.listen = parse_listen(home.settings.gateway.listen)
    def start(self):
        require_free(self.listen, "gateway.listen")
        self.socket = socket.create_server(self.listen)
    def stop(self, grace_s):
        if hasattr(self, "socket"): self.socket.close()
        log.get_logger("toyroom").info("Stop was called", grace_s=grace_s)
        if "hang" in MODE: threading.Event().wait()

def serve(home: PartyHome) -> Server: return Server(home)
MODE = ""
"""


@pytest.fixture
def home(tmp_path: Path) -> PartyHome:
    return create_home(tmp_path / "alice", "alice")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    folder = tmp_path / "code" / "toyroom"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text(
        "from party.main import run_forever\nfrom toyroom.server import serve\nrun_forever(serve)\n"
    )
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, mode: str = "", ready: bool = True, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        (folder / "server.py").write_text(ROOM.replace('MODE = ""', f'MODE = "{mode}"'))
        read, write = os.pipe()
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "toyroom", *arguments, "--ready-fd", str(write)],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": str(folder.parent)},
            pass_fds=[write],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        os.close(write)
        with os.fdopen(read) as pipe:
            assert pipe.read() == ("ready\n" if ready else "")
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=60)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, error = process.communicate(timeout=60)
    return process.returncode, error


def _events(home: PartyHome) -> list[str]:
    return [json.loads(line)["event"] for line in home.log_file("toyroom").read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_serves_when_ready_and_ends_in_order_on_a_signal(home: PartyHome, start, number: int) -> None:
    process = start("--home", str(home.root))
    host, _, port = home.settings.gateway.listen.rpartition(":")
    socket.create_connection((host, int(port)), timeout=30).close()
    process.send_signal(number)
    assert _ended(process) == (0, "")
    assert _events(home) == ["Ready", "Stopping", "Stop was called", "Stopped"]


def test_a_service_may_open_as_many_files_as_the_system_lets_it(home: PartyHome, start) -> None:
    few = ("sh", "-c", 'ulimit -S -n 64; ulimit -H -n 512; exec "$0" "$@"')
    process = start("--home", str(home.root), under=few)
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (512, 512)


def test_a_second_signal_ends_a_service_that_hangs_while_stopping(home: PartyHome, start) -> None:
    process = start("--home", str(home.root), "--log", "-", mode="hang")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while "Stop was called" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM


def test_a_port_in_use_is_said_with_what_to_change(home: PartyHome, start) -> None:
    host, _, port = home.settings.gateway.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        code, error = _ended(start("--home", str(home.root), ready=False))
    assert code == 6
    assert error == (
        f"toyroom: {home.settings.gateway.listen} (gateway.listen) is in use by another process. "
        "Stop that process, or change gateway.listen in party.toml.\n"
    )
    assert "Refused to run" in _events(home)


def test_the_same_service_runs_once_on_a_home(home: PartyHome, start) -> None:
    start("--home", str(home.root))
    code, error = _ended(start("--home", str(home.root), ready=False))
    assert code == 5
    assert "toyroom of alice runs already" in error


def test_no_home_and_wrong_settings_are_said_before_anything_runs(home: PartyHome, start, tmp_path: Path) -> None:
    code, error = _ended(start("--home", str(tmp_path / "nowhere"), ready=False))
    assert code == 3
    assert "flow party init" in error
    settings = home.root / "party.toml"
    settings.write_text(settings.read_text().replace("durability", "durabilty"))
    code, error = _ended(start("--home", str(home.root), ready=False))
    assert code == 2
    assert f"{settings}: gateway.durabilty: unknown key. Did you mean 'durability'?" in error


def test_a_party_whose_making_was_killed_can_be_made_again(tmp_path: Path) -> None:
    code = (
        "import os, sys; from party import home_init; "
        "home_init.save_users = lambda *_: os._exit(9); home_init.create_home(sys.argv[1], 'alice')"
    )
    root = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=Path(__file__).parents[3], timeout=60, check=False
    )
    assert done.returncode == 9
    assert not root.exists()
    assert create_home(root, "alice").token()
