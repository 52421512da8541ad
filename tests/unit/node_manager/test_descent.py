"""Who descends from whom, and by what the leavings of a party's executors are known."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from node_manager.descent import Home, abandoned, children, confined, families
from node_manager.executor import kernel
from tests.fakes.nodes import eventually

WAIT = "import time; time.sleep(300)"


@pytest.fixture
def home(tmp_path):
    return Home(os.geteuid(), tmp_path, tmp_path / "executors")


@pytest.fixture
def started():
    processes = []

    def start(scratch, script=WAIT):
        command = [sys.executable, "-S", "-c", script]
        environment = {"HOME": str(scratch)}
        process = subprocess.Popen(command, env=environment, preexec_fn=kernel.forbid_new_privileges)  # noqa: PLW1509
        processes.append(process)
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_gave_up_rights_is_told_from_one_that_did_not(home, started):
    assert confined(started(home.folders / "J/t/scratch"))
    assert not confined(os.getpid())


def test_what_is_left_is_known_by_the_folders_of_its_home_and_kept_where_it_is_still_looked_after(home, started):
    ours, others = started(home.folders / "J/t/scratch"), started(home.root / "elsewhere/J/t/scratch")
    left = {process.pid for process in abandoned(home, ())}
    assert ours in left
    assert others not in left
    assert ours not in {process.pid for process in abandoned(home, {ours})}


def test_a_family_is_everybody_beneath(home, started):
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {WAIT!r}])"
    first = started(home.folders, script)
    (second,) = eventually(lambda: children(first))
    assert families([first, second]) == {first: [second], second: []}
    assert first in children(os.getpid())
    os.kill(second, 9)
