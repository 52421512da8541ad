"""A warm parent ends with its Node Manager, in whichever instant that goes: importing it has no child to wait for."""

from __future__ import annotations

import select
import time

import pytest

from node_manager.client import end_left_over
from node_manager.supervisor.config import Confinement
from node_manager.supervisor.spawn import WarmParentProcess
from party.home_init import create_home

LONG_S = 60


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Starts the warm parent of a home that imports a module; those that import `for_long` have begun to."""
    (tmp_path / "for_long.py").write_text(f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
                                          f"time.sleep({LONG_S})\n")  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    begun = []

    def call(*modules):
        parent = WarmParentProcess(modules, Confinement.of(home))
        begun.append(parent)
        until = time.monotonic() + LONG_S
        while "for_long" in modules and not (tmp_path / "begun").exists() and time.monotonic() < until:
            time.sleep(0.01)
        return parent

    home = call.home = create_home(tmp_path / "home", "a")
    yield call
    for parent in begun:
        parent._process.kill()
        parent.close(5)


def test_one_that_still_imports_is_gone_when_it_was_let_go(begin):
    parent = begin("for_long")
    parent.close(wait_s=0)
    assert "SIGKILL" in parent.how_it_ended


def test_one_that_is_ready_is_not_killed_although_its_word_is_not_heard_yet(begin):
    parent = begin()
    assert select.select([parent], [], [], LONG_S)[0]
    assert not parent.ready
    parent.close(wait_s=10)
    assert parent.how_it_ended == "ended with 0"


def test_one_whose_node_manager_died_is_ended_with_what_the_party_has_left(begin):
    parent = begin("for_long")
    parent._socket.close()
    assert end_left_over(begin.home) == 1
    assert "SIGKILL" in parent.how_it_ended
    assert end_left_over(begin.home) == 0
