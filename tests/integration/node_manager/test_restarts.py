"""The Node Manager and its warm parent are killed; what they watched over is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from node_manager.client import EventKind, NodeClient, end_left_over, serve
from node_manager.descent import WARM_PARENT
from party.home_init import create_home, save_settings
from runtime.disk.files import private_folder
from tests.fakes.nodes import JOB, PRELOAD, Reader, eventually, make_order


@pytest.fixture
def home(tmp_path):
    home = create_home(tmp_path / "home", "a")
    node = home.settings.node.model_copy(update={"preload": PRELOAD, "cores": 2, "memory": "1GiB", "gpus": 0})
    return save_settings(home, home.settings.model_copy(update={"node": node}))


class Host:
    """Node Managers of one home, one after the other, each a process of its own."""

    def __init__(self, home) -> None:
        self.home = home
        self.process = None
        self.reader = None
        self.start()
        self.reader = Reader(home.socket("node"))

    @property
    def client(self) -> NodeClient:
        return self.reader.client

    def start(self) -> None:
        ready, told = os.pipe()
        command = [sys.executable, "-m", "node_manager", "--home", str(self.home.root), "--ready-fd", str(told)]
        self.process = subprocess.Popen(command, pass_fds=[told])
        os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            assert pipe.read() == b"ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def warm_parent(self) -> int:
        found = [p for p in psutil.Process(self.process.pid).children() if WARM_PARENT in p.cmdline()]
        return found[0].pid if found else 0

    def close(self) -> None:
        self.reader.close()
        self.process.terminate()
        assert self.process.wait(20) == 0


@pytest.fixture
def host(home):
    host = Host(home)
    yield host
    host.close()


def living(pid) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def numbers(host):
    return [e.body["step"] for e in host.reader.events if e.kind is EventKind.METRIC]


def test_events_arrive_once_each_while_the_node_manager_is_killed_again_and_again(host, tmp_path):
    order = make_order("count_until", where=str(tmp_path / "enough"), seconds=0.02)
    pid = host.client.start(order)
    for _ in range(2):
        seen = len(host.reader.events)
        host.reader.wait(lambda events, seen=seen: len(events) > seen + 20)
        host.kill()
        assert living(pid)
        host.start()
    (tmp_path / "enough").touch()
    assert host.reader.final(order).kind is EventKind.SUCCEEDED
    counted = numbers(host)
    assert len(counted) > 40
    assert counted == list(range(len(counted)))
    assert [e.sequence for e in host.reader.events] == list(range(1, len(counted) + 5))
    eventually(lambda: not living(pid))


def test_an_executor_that_ended_while_nobody_watched_is_told_with_its_cause(host):
    fine = make_order("count", task="fine", count=20, seconds=0.05)
    killed, left = make_order("sleep", task="killed"), make_order("sleep", task="left")
    pids = [host.client.start(order) for order in (fine, killed, left)]
    host.reader.of(left, EventKind.STARTED)
    parent = host.warm_parent()
    host.kill()
    os.kill(pids[1], signal.SIGKILL)
    eventually(lambda: not living(pids[0]))
    eventually(lambda: not psutil.pid_exists(pids[1]))
    host.start()
    assert host.reader.final(fine).kind is EventKind.SUCCEEDED
    assert host.reader.final(killed).body["signal"] == 9
    assert next(host.client.watch()).executors == (f"{JOB}/left-1-guest-a-i1",)
    assert psutil.pid_exists(parent), "the shim stays until its last child has ended"
    host.client.stop(JOB)
    assert host.reader.final(left).body["cause"] == "stopped"
    eventually(lambda: not living(parent))


def test_a_killed_warm_parent_is_replaced_and_its_executors_go_on(host):
    order = make_order("family")
    pid = host.client.start(order)
    host.reader.of(order, EventKind.LOG)
    relatives = [int(text) for text in host.reader.texts(order)[0].split()]
    parent = host.warm_parent()
    os.kill(parent, signal.SIGKILL)
    other = make_order(task="other")
    host.client.start(other)
    assert host.reader.final(other).kind is EventKind.SUCCEEDED
    assert host.warm_parent() not in (0, parent)
    assert living(pid)
    os.kill(pid, signal.SIGKILL)
    body = host.reader.final(order).body
    assert (body["cause"], body["signal"]) == ("signal", 9)
    eventually(lambda: not psutil.pid_exists(pid))
    eventually(lambda: not psutil.pid_exists(relatives[0]))
    eventually(lambda: not psutil.pid_exists(relatives[1]))


@pytest.mark.parametrize("first", ["executor", "both"])
def test_what_left_its_session_ends_when_the_party_goes_down_after_its_keepers_died(home, first):
    host = Host(home)
    order = make_order("linger", seconds=300.0)
    pid = host.client.start(order)
    host.reader.of(order, EventKind.LOG)
    left = int(host.reader.texts(order)[0])
    parent = host.warm_parent()
    for victim in (host.process.pid, parent):
        os.kill(victim, signal.SIGSTOP)
    if first == "executor":  # nobody above it notices: what it leaves is nobody's
        os.kill(pid, signal.SIGKILL)
    os.kill(parent, signal.SIGKILL)
    host.reader.close()
    host.kill()
    assert living(left)
    assert end_left_over(home)
    eventually(lambda: not living(pid) and not living(left))


def test_a_node_manager_that_comes_back_ends_what_executors_left_behind_meanwhile(host):
    order = make_order("linger", seconds=300.0)
    pid = host.client.start(order)
    host.reader.of(order, EventKind.LOG)
    left = int(host.reader.texts(order)[0])
    parent = host.warm_parent()
    os.kill(host.process.pid, signal.SIGSTOP)
    os.kill(parent, signal.SIGKILL)
    host.kill()
    os.kill(pid, signal.SIGKILL)
    assert living(left)
    host.start()
    assert host.reader.final(order).kind is EventKind.LOST
    eventually(lambda: not living(left))


def test_orders_given_while_the_warm_parent_dies_are_carried_out(host):
    host.client.start(make_order(task="first"))
    os.kill(host.warm_parent(), signal.SIGSTOP)
    parent = host.warm_parent()
    order = make_order(task="second")
    asked = threading.Thread(target=host.client.start, args=(order,))
    asked.start()
    eventually(lambda: (host.home.state("node") / f"executors/{JOB}/second-1-guest-a-i1/order.json").exists())
    os.kill(parent, signal.SIGKILL)
    assert host.reader.final(order).kind is EventKind.SUCCEEDED
    asked.join(10)


def test_an_order_whose_process_was_never_made_is_lost_as_not_started(home):
    host = Host(home)
    done = make_order(task="done")
    host.client.start(done)
    host.reader.final(done)
    os.kill(host.warm_parent(), signal.SIGSTOP)
    parent = host.warm_parent()
    order = make_order(task="never")
    asked = threading.Thread(target=_quietly, args=(host.client.start, order))
    asked.start()
    folder = home.state("node") / f"executors/{JOB}/never-1-guest-a-i1"
    eventually(lambda: (folder / "order.json").exists())
    host.kill()
    os.kill(parent, signal.SIGKILL)
    host.start()
    assert host.reader.final(order).body["cause"] == "not-started"
    asked.join(10)
    host.close()


def test_an_orderly_stop_ends_the_executors_and_tells_it_later(host):
    order = make_order("sleep")
    pid = host.client.start(order)
    host.reader.of(order, EventKind.STARTED)
    parent = host.warm_parent()
    host.process.terminate()
    assert host.process.wait(20) == 0
    assert not living(pid)
    assert not living(parent)
    host.start()
    assert host.reader.final(order).body["cause"] == "stopped"


def test_an_order_that_still_waits_when_the_node_manager_stops_is_never_carried_out(home):
    host = Host(home)
    host.client.start(make_order(task="first"))
    parent = host.warm_parent()
    os.kill(parent, signal.SIGSTOP)
    asked = threading.Thread(target=_quietly, args=(host.client.start, make_order("sleep", task="waits")))
    asked.start()
    folder = home.state("node") / f"executors/{JOB}/waits-1-guest-a-i1"
    eventually(lambda: (folder / "order.json").exists())
    host.process.terminate()
    host.process.wait(30)
    os.kill(parent, signal.SIGCONT)
    eventually(lambda: not living(parent))
    assert not (folder / "process.json").exists()
    asked.join(10)
    host.close()


def test_a_folder_whose_order_cannot_be_read_is_removed(home):
    broken = private_folder(home.state("node") / "executors") / f"{JOB}/task-1-guest-a-i1"
    broken.mkdir(parents=True)
    (broken / "order.json").write_text('{"schema": 9}')
    service = serve(home)
    service.start()
    assert not broken.exists()
    service.stop(1)
    service.stop(1)


def _quietly(call, *arguments):
    from runtime.errors import Unavailable

    try:
        call(*arguments)
    except Unavailable:
        return
