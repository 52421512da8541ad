"""Folders, executors, processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node_manager.errors import NoGpuLeft, OrderRefused, StaleIncarnation, UnknownWireVersion
from node_manager.executor.warm_parent import preload
from node_manager.folders import EXIT, ExecutorKey, make_folder, read_json, read_order, working_folders, write_json
from node_manager.last_event import Cause
from node_manager.order import Order, Resources
from node_manager.process import ProcessId, anonymous_bytes, kernel_oom_kills
from node_manager.supervisor.running_executors import Running, RunningExecutors
from node_manager.wire import document, parse_order
from tests.fakes.nodes import JOB, make_order


def test_the_folder_of_an_executor_is_private_and_holds_its_order_without_the_token(tmp_path):
    order = make_order()
    path = make_folder(tmp_path, ExecutorKey.of(order), order)
    assert path == tmp_path / JOB / "task-1-guest-a-i1"
    assert path.stat().st_mode & 0o777 == 0o700
    assert read_order(path, Order) == order.model_copy(update={"token": ""})
    assert working_folders(tmp_path) == [path]


def test_a_folder_whose_executor_ended_is_not_used_again(tmp_path):
    order = make_order()
    path = make_folder(tmp_path, ExecutorKey.of(order), order)
    write_json(path / EXIT, {"schema": 1})
    with pytest.raises(StaleIncarnation, match="next incarnation"):
        make_folder(tmp_path, ExecutorKey.of(order), order)


@pytest.mark.parametrize("text", ['{"schema": 2}', "[]"])
def test_an_order_of_another_schema_is_not_read(tmp_path, text):
    (tmp_path / "order.json").write_text(text)
    with pytest.raises(UnknownWireVersion):
        read_order(tmp_path, Order)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}'])
def test_what_is_no_json_object_of_ours_counts_as_absent(tmp_path, text):
    (tmp_path / "x").write_text(text)
    assert read_json(tmp_path / "x") is None
    assert read_json(tmp_path / "y") is None


@pytest.mark.parametrize("least", [{"cores": 0}, {"memory_bytes": 1 << 19}])
def test_an_order_that_leaves_its_executor_nothing_is_refused(least):
    order = make_order().model_copy(update={"resources": Resources(**least)})
    with pytest.raises(OrderRefused, match="needs a core and a MiB"):
        parse_order(document(order))


def running(task="t", gpus=0, incarnation=1):
    key = ExecutorKey("JOB1", task, 1, "guest:a", incarnation)
    return Running(key, Path("/x"), Resources(gpus=gpus))


def test_gpus_are_given_to_one_executor_each_and_come_back():
    executors = RunningExecutors(2)
    one, two, both = running("one", 1), running("two", 1), running("both", 2)
    executors.add(one)
    executors.add(two)
    assert (one.gpus, two.gpus) == ((0,), (1,))
    with pytest.raises(NoGpuLeft, match="0 of 2 are free"):
        executors.add(both)
    executors.remove(one)
    executors.remove(two)
    assert executors.add(both).gpus == (0, 1)


def test_a_key_is_on_the_roster_once():
    executors = RunningExecutors(0)
    first = executors.add(running())
    assert executors.add(running()) is first
    assert executors.beside(running(incarnation=2).key) == [first]
    assert executors.in_folder(first.key.folder) is first
    assert executors.in_folder("JOB1/other") is None


def test_an_assignment_number_is_answered_once():
    executors = RunningExecutors(0)
    one = executors.add(running())
    number = executors.number(one)
    assert executors.numbered(number) is one
    assert executors.numbered(number) is None
    executors.number(one)
    assert executors.waiting() == [one]
    assert executors.waiting() == []


def test_a_process_is_known_by_its_start_time():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        me = ProcessId.of(child.pid)
        assert me.alive()
        assert not ProcessId(me.pid, me.start_ticks + 1).alive()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not me.alive(), "a zombie is not alive"
    assert ProcessId.of(child.pid) is None
    assert anonymous_bytes(child.pid) == 0
    assert kernel_oom_kills() >= 0


def test_modules_that_are_not_installed_are_passed_over_and_broken_ones_are_not(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert preload(["json", "not_there_at_all", "json.nothing"], ()) == ["not_there_at_all", "json.nothing"]
    with pytest.raises(ModuleNotFoundError):
        preload(["broken_module"], ())


def test_the_door_is_light():
    code = "import sys, node_manager.client; print(sorted({'numpy', 'pyarrow', 'torch', 'psutil'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_causes_are_a_closed_list():
    used_too_much = {"memory", "processes", "disk"}
    assert {str(cause) for cause in Cause} == {"exit", "signal", "stopped", "not-started", "unknown"} | used_too_much
