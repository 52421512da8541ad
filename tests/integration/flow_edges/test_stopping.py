"""`flow party down` and processes that nobody reaps."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from flow.cli.party import processes
from party.errors import AlreadyRunning
from party.home_init import create_home
from runtime import processes as party_processes


def test_a_launcher_that_ended_and_is_not_reaped_counts_as_stopped(tmp_path):
    home = create_home(tmp_path / "home", "a")
    home.run_dir.mkdir(exist_ok=True)
    with subprocess.Popen(["sleep", "600"]) as launcher:
        known = {"pid": launcher.pid, "started": psutil.Process(launcher.pid).create_time()}
        (home.process_file("launcher")).write_text(json.dumps(known))
        begin = time.monotonic()
        assert processes.stop(home)
        assert time.monotonic() - begin < 10
        assert psutil.Process(launcher.pid).status() == psutil.STATUS_ZOMBIE
        assert not processes.stop(home)


def test_a_launcher_in_the_foreground_is_found_refuses_a_second_and_is_stopped(tmp_path):
    home = create_home(tmp_path / "home", "a")
    script = (
        "import sys; from flow.cli.party import processes; from party.home import find_home\n"
        "processes._command = lambda home: [sys.executable, '-c', 'import time; print(1, flush=1); time.sleep(600)']\n"
        f"processes.run_here(find_home({str(home.root)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"1\n"
        with pytest.raises(AlreadyRunning, match=str(launcher.pid)):
            processes.start(home)
        assert processes.stop(home)
        assert launcher.wait(10) != 0
    assert not processes.stop(home)


def test_down_while_a_launcher_is_starting_ends_neither_it_nor_its_gateway(tmp_path):
    home = create_home(tmp_path / "home", "a")
    with subprocess.Popen(["sleep", "600"]) as gateway:
        try:
            noted = home.process_file("gateway")
            party_processes.note(noted, gateway.pid)
            with home.lock("launcher"):
                assert processes.end_what_is_left(home) == 0
            assert gateway.poll() is None
            assert party_processes.noted(noted) is not None
            assert processes.end_what_is_left(home) == 1
            assert gateway.wait(10) != 0
        finally:
            gateway.kill()


def test_down_stops_a_launcher_that_is_not_ready_yet(tmp_path, monkeypatch):
    home = create_home(tmp_path / "home", "a")
    monkeypatch.setattr(processes, "_command", lambda home: [sys.executable, "-c", STARTING, str(home.root)])
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(processes.start, home)
        while not home.process_file("launcher").exists():
            assert not up.done()
            time.sleep(0.02)
        assert processes.stop(home)
        with pytest.raises(processes.StartFailed):
            up.result(30)


def test_down_awaits_a_launcher_that_another_command_is_just_starting_and_a_second_up_says_so(tmp_path, monkeypatch):
    home = create_home(tmp_path / "home", "a")
    go = tmp_path / "go"
    late = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n{STARTING}"
    begun = threading.Event()

    def command(home):
        begun.set()
        return [sys.executable, "-c", late, str(home.root)]

    monkeypatch.setattr(processes, "_command", command)
    with ThreadPoolExecutor(2) as pool:
        up = pool.submit(processes.start, home)
        assert begun.wait(30)
        with pytest.raises(AlreadyRunning, match="a is just being started by another command"):
            processes.start(home)
        down = pool.submit(processes.stop, home)
        go.touch()
        assert down.result(60)
        with pytest.raises(processes.StartFailed):
            up.result(60)


STARTING = """
import sys, threading
from launcher import rooms
from party.home import find_home
rooms.serve(find_home(sys.argv[1]))
threading.Event().wait(600)
"""
