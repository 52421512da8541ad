"""What component code in an executor can reach, tried by a component that tries everything, beside a real party."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import gateway.client
from node_manager.client import EventKind, Resources
from node_manager.executor import kernel
from node_manager.server import NodeService
from node_manager.supervisor.config import NodeConfig
from party.home_init import create_home
from tests.fakes.hostile_plays import WAYS
from tests.fakes.nodes import PRELOAD, Reader, eventually, make_order

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(not kernel.landlock_abi(), reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def home():
    folder = Path(tempfile.mkdtemp(prefix="apl-iso-"))
    yield create_home(folder / "home", "hospital-a")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def door(home):
    service = gateway.client.serve(home)
    service.start()
    yield service
    service.stop(1)


@pytest.fixture(scope="module", params=["user", "sandbox"] if ROOT else ["sandbox"])
def node(home, door, request):
    config = replace(NodeConfig.of(home), preload=PRELOAD, capacity=Resources(cores=4, memory_bytes=4 << 30))
    if request.param == "sandbox":  # executors stay who the services are, as where these are not root
        config = replace(config, confinement=replace(config.confinement, uid=os.geteuid()))
    service = NodeService(config)
    service.mode = request.param
    service.start()
    yield service
    service.stop(5)


@pytest.fixture
def reader(node, home):
    reader = Reader(home.socket("node"))
    yield reader
    reader.close()


_jobs = itertools.count()


def order_for(home, tries, **changes):
    given = {
        "job": f"01J{next(_jobs):023}",
        "store": home.store,
        "gateway": str(home.socket("gateway")),
        "address": "guest:hospital-a",
    }
    return make_order("pry", where=json.dumps(tries), **{**given, **changes})


def forbidden(home, neighbour):
    root = home.root
    return {
        "list-keys": root / "keys",
        **{f"read-{path.name}": path for path in (root / "keys").iterdir()},
        "read-tokens": root / "tokens" / "admin.token",
        "read-users": root / "users.json",
        "read-settings": root / "party.toml",
        "read-database": root / "state" / "gateway" / "gateway.sqlite",
        "read-ended": root / "state" / "node" / "ended",
        "read-doors": home.run_dir / "doors.key",
        "list-run": home.run_dir,
        "read-log": root / "logs" / "gateway.log",
        "write-home": root / "planted",
        "read-environ": f"/proc/{os.getpid()}/environ",
        "read-memory": f"/proc/{os.getpid()}/maps",
        "read-root": f"/proc/{os.getpid()}/root{root}/party.toml",
        "read-shadow": "/etc/shadow",
        "read-table": Path(home.store) / "tables" / "other" / "rows" / "1.json",
        "list-jobs": root / "state" / "node" / "executors",
        "read-neighbour": root
        / "state"
        / "node"
        / "executors"
        / neighbour.job
        / "task-1-guest-hospital-a-i1"
        / "order.json",
        "write-order": "order.json",
        "write-process": "process.json",
        "unlink-exit": "exit.json",
        "link-out": root / "keys",
        "hardlink-out": root / "party.toml",
        "child-keys": str(root / "party.toml"),
        "admin-gateway": home.socket("gateway-admin"),
        "node-node": home.socket("node"),
    }


def test_a_component_reaches_nothing_of_its_party_but_what_its_order_names(home, reader):
    (Path(home.store) / "tables/other/rows").mkdir(parents=True, exist_ok=True)
    (Path(home.store) / "tables/other/rows/1.json").write_text("{}")
    (home.root / "logs").mkdir(exist_ok=True)
    (home.root / "logs/gateway.log").write_text("x")
    neighbour = order_for(home, {})
    reader.client.start(neighbour)
    assert reader.final(neighbour).kind is EventKind.SUCCEEDED
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tries = {**forbidden(home, neighbour), "tcp-rest": listening.getsockname()[1]}
        tries |= {f"{way}-service": os.getpid() for way in ("signal", "limit", "slow", "idle", "nice")}
        order = order_for(home, {name: str(path) for name, path in tries.items()})
        reader.client.start(order)
        end = reader.final(order)
    assert end.kind is EventKind.SUCCEEDED, end.body
    told = dict(text.split(": ", 1) for text in reader.texts(order))
    if kernel.landlock_abi() < 6 and not ROOT:
        del told["signal-service"]
    assert {name for name, came in told.items() if came == "DONE"} == set()
    assert len(told) >= len(tries) - 1


def test_a_component_reaches_no_network_by_any_kind_of_socket(home, reader):
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(type=socket.SOCK_DGRAM) as letters:
        letters.bind(listening.getsockname())
        for line in (listening, letters):
            line.setblocking(False)
        order = order_for(home, {}, parameters={"do": "reach_out", "count": listening.getsockname()[1]})
        reader.client.start(order)
        assert reader.final(order).kind is EventKind.SUCCEEDED
        told = dict(text.split(": ", 1) for text in reader.texts(order))
        assert set(told) == set(WAYS)
        assert {name for name, came in told.items() if came == "DONE"} == set()
        with pytest.raises(BlockingIOError):
            listening.accept()
        with pytest.raises(BlockingIOError):
            letters.recv(1)


def test_threads_processes_and_pairs_of_sockets_work_inside(home, reader):
    order = order_for(home, {}, parameters={"do": "get_on"})
    reader.client.start(order)
    end = reader.final(order)
    assert end.kind is EventKind.SUCCEEDED, (end.body, reader.texts(order))


def test_workers_are_forked_from_what_the_executor_was_and_gone_when_it_is(home, reader):
    order = order_for(home, {}, parameters={"do": "spread"}, resources=Resources(cores=2))
    reader.client.start(order)
    pid = reader.of(order, EventKind.STARTED).body["pid"]
    end = reader.final(order)
    assert end.kind is EventKind.SUCCEEDED, (end.body, reader.texts(order))
    assert reader.texts(order)[-1] == "worker 1, worker 1, worker parent 1"
    eventually(lambda: not [p for p in psutil.process_iter() if _group(p) == pid])


def _group(process):
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def test_a_process_that_a_component_forks_ends_by_a_signal_as_any_other(home, reader):
    order = order_for(home, {}, parameters={"do": "end_a_child"})
    reader.client.start(order)
    assert reader.final(order, timeout_s=20).kind is EventKind.SUCCEEDED
    assert f"ended by {signal.SIGTERM}" in reader.texts(order)


def test_an_executors_environment_is_a_closed_list(home, reader, monkeypatch):
    order = order_for(home, {}, parameters={"do": "look_around"})
    reader.client.start(order)
    assert reader.final(order).kind is EventKind.SUCCEEDED
    told = dict(text.split(": ", 1) for text in reader.texts(order))
    assert {entry.split("=")[0] for entry in told["environment"].split()} <= {
        "PATH", "LANG", "LANGUAGE", "TZ", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "XDG_CACHE_HOME", "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS", "ARROW_IO_THREADS", "JE_ARROW_MALLOC_CONF", "GRPC_ENABLE_FORK_SUPPORT",
        "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK",
        "TORCHINDUCTOR_CACHE_DIR",
    }  # fmt: skip


def test_the_status_says_how_executors_are_confined(node, reader):
    assert next(status for status in reader.client.watch() if status.isolation)
    status = next(reader.client.watch())
    assert status.isolation == node.mode
    assert "out of reach" in status.isolation_text
