"""Ends that come early: of an executor before its Node Manager has read that it started, and of the Node Manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from node_manager.assignment import Assignment
from node_manager.folders import EXIT, PROCESS, ExecutorKey, make_folder, read_json
from node_manager.server import NodeService
from node_manager.supervisor.follow import EventLogs
from node_manager.supervisor.running_executors import Running, RunningExecutors
from node_manager.supervisor.supervisor import Supervisor
from tests.fakes.nodes import eventually, make_config, make_order


@pytest.fixture
def supervisor(tmp_path):
    config = make_config(tmp_path)
    logs = EventLogs(tmp_path, tmp_path / "ended")
    supervisor = Supervisor(config, logs, RunningExecutors(0))  # its thread is not started: we are it
    yield supervisor
    supervisor.parent.close(wait_s=5)
    supervisor.enforcement.close()


def test_an_end_that_is_seen_before_the_start_is_no_failed_start(supervisor, tmp_path):
    order = make_order()
    key = ExecutorKey.of(order)
    running = supervisor._executors.add(Running(key, make_folder(tmp_path, key, order), order.resources))
    assignment = Assignment(
        schema=1,
        number=supervisor._executors.number(running),
        folder=running.folder,
        token="t",
        task_key="00" * 32,
        doorbell=str(tmp_path / "bell.sock"),
        received_at=0.0,
    )
    supervisor.parent.send(assignment)
    eventually(lambda: (running.folder / EXIT).exists(), timeout_s=60)
    supervisor._look(running)  # the doorbell is read first, the warm parent's answer still lies in its socket
    assert running.ended.is_set()
    assert running.started.result(0) == read_json(running.folder / PROCESS)["pid"]


def test_a_node_manager_that_stopped_takes_in_no_orphans_of_its_process(tmp_path):
    service = NodeService(make_config(tmp_path))
    service.start()
    service.stop(5)
    orphan = "import os, time; os.fork() and os._exit(0); print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", orphan], stdout=subprocess.PIPE, text=True) as process:
        process.wait()
        pid = int(process.stdout.readline())
        parent = psutil.Process(pid).ppid()
        os.kill(pid, signal.SIGKILL)
    assert parent != os.getpid()
