"""`flow party down` and processes that nobody reaps."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest

from flow.cli import processes
from party.home import AlreadyRunning, create_home


def test_a_launcher_that_ended_and_is_not_reaped_counts_as_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_S", 20.0)
    home = create_home(tmp_path / "home", "a")
    home.run_dir.mkdir(exist_ok=True)
    with subprocess.Popen(["sleep", "600"]) as launcher:
        known = {"pid": launcher.pid, "started": psutil.Process(launcher.pid).create_time()}
        (home.run_dir / processes.PID_FILE).write_text(json.dumps(known))
        begin = time.monotonic()
        assert processes.stop(home)
        assert time.monotonic() - begin < 10
        assert psutil.Process(launcher.pid).status() == psutil.STATUS_ZOMBIE
        assert not processes.stop(home)


def test_a_launcher_in_the_foreground_is_found_refuses_a_second_and_is_stopped(tmp_path):
    home = create_home(tmp_path / "home", "a")
    script = (
        "import sys; from flow.cli import processes; from party.home import find_home\n"
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
