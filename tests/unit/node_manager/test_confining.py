"""What keeps executors in: which paths they are given, how it is tried, and what is said where it fails."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from node_manager.assignment import IsolationMode, IsolationReport
from node_manager.executor import child_setup, kernel, reach, syscalls
from node_manager.executor.isolation import Isolation
from node_manager.executor.reach import SCRATCH, order_rules, program_rules
from node_manager.folders import PROCESS, ExecutorKey, last_words, make_folder, write_json
from node_manager.supervisor.left_over import end_left_over
from party.home_init import create_home
from tests.fakes.nodes import make_order

SPECIAL = kernel.Right.MAKE_FIFO | kernel.Right.MAKE_SOCK | kernel.Right.MAKE_CHAR | kernel.Right.MAKE_BLOCK


def test_only_in_its_scratch_an_executor_makes_what_is_no_file(tmp_path):
    rules = order_rules(make_order(store=str(tmp_path / "store")), tmp_path, ())
    assert {path for path, rights in rules if rights & SPECIAL} == {tmp_path / SCRATCH}
    assert len([path for path, rights in rules if rights & kernel.Right.MAKE_REG]) > 1


def test_a_home_below_a_folder_of_the_system_stays_closed(tmp_path):
    home, other = tmp_path / "usr/local/var/home", tmp_path / "usr/lib"
    home.mkdir(parents=True)
    other.mkdir()
    opened = {path for path, _ in program_rules([home], [str(tmp_path / "usr")])}
    assert other in opened
    assert not opened & {home, *home.parents}


def test_no_rule_lies_below_another_that_allows_as_much():
    top, change = Path("/a"), kernel.CHANGE
    rules = [(top, kernel.READ), (top / "b", kernel.READ), (top / "b/c", change), (top / "b/c/d", kernel.READ)]
    assert reach.outermost(rules) == [(top, kernel.READ), (top / "b/c", change)]
    found = program_rules([])
    assert reach.outermost(found) == found


@pytest.mark.parametrize("end", ["signal", "error"])
def test_a_trial_that_ends_badly_is_a_problem(monkeypatch, end):
    def refuse(*_args, **_named):
        if end == "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError

    monkeypatch.setattr(Isolation, "_confine", refuse)
    assert "ended with" in Isolation(IsolationReport(mode=IsolationMode.SANDBOX, text=""), None, ()).tried()


def test_where_no_filter_of_system_calls_is_allowed_executors_are_isolated_in_part_and_it_is_said(monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(syscalls, "refuse", refuse)
    found = Isolation.find(os.geteuid(), []).report
    assert found.mode is IsolationMode.PARTLY
    assert not found.mode.sound
    assert "not here" in found.text
    assert "Remedy" in found.text


def test_what_keeps_a_child_from_being_an_executor_is_in_its_last_words(tmp_path):
    handle = os.open(tmp_path / "stderr.log", os.O_WRONLY | os.O_CREAT)
    pid = os.fork()
    if not pid:
        os.dup2(handle, 2)
        child_setup._become = lambda *_: None
        child_setup.live(type("Given", (), {"folder": tmp_path})(), None, None)
    os.close(handle)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == child_setup.CRASHED
    assert "order.json" in last_words(tmp_path)


@pytest.mark.parametrize("pid", ["x", -1, 1.5, 10**30])
def test_a_process_file_without_a_pid_is_nobodys(tmp_path, pid):
    home = create_home(tmp_path / "home", "hospital-a")
    order = make_order()
    folder = make_folder(Path(home.state("node")) / "executors", ExecutorKey.of(order), order)
    write_json(folder / PROCESS, {"schema": 1, "pid": pid, "start_ticks": pid})
    assert end_left_over(home) == 0
