"""`flow party down` and processes that nobody reaps."""

from __future__ import annotations

import json
import subprocess
import time

import psutil

from flow.cli import processes
from party.home import create_home


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
