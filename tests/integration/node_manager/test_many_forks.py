"""Many children of one warm parent, each doing what would hang if the parent were not clean."""

from __future__ import annotations

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from node_manager.client import EventKind
from node_manager.server import NodeService
from tests.fakes.nodes import JOB, PRELOAD, Reader, make_config, make_order

AT_ONCE = 3


@pytest.fixture
def echo(tmp_path):
    say = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": say})])
    server.add_insecure_port(f"unix:{tmp_path}/echo")
    server.start()
    (tmp_path / "echo").chmod(0o666)  # executors may have a user of their own
    yield tmp_path
    server.stop(0).wait()


@pytest.mark.parametrize("forks", [200, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_many_executors_convolve_scan_and_call(forks, echo, monkeypatch, request):
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)  # a thousand data files more would tell nothing new
    service = NodeService(make_config(echo, preload=("torch", "pyarrow.dataset", "grpc", *PRELOAD)))
    service.start()
    request.addfinalizer(lambda: service.stop(5))
    reader = Reader(echo / "node.sock")
    request.addfinalizer(reader.close)
    reader.client.start(make_order(task="first"))
    parent = service._manager._supervisor.parent
    assert parent.threads == 1
    orders = [make_order("work", where=str(echo), task=f"t{i}") for i in range(forks)]

    def run(order):
        reader.client.start(order)
        return reader.final(order, timeout_s=60)

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(run, orders))
    seconds = time.monotonic() - began
    failed = [end for end in ends if end.kind is not EventKind.SUCCEEDED]
    assert not failed, failed[:3]
    starts = sorted(e.body["started_s"] for e in reader.events if e.kind is EventKind.STARTED)
    print(f"{forks} executors in {seconds:.1f} s, start median {starts[forks // 2]} s, worst {starts[-1]} s")  # noqa: T201
    assert parent.pid == service._manager._supervisor.parent.pid
    assert len(list(Path(f"/proc/{parent.pid}/task").iterdir())) == 1
    reader.client.clean(JOB)
    assert not (echo / "executors" / JOB).exists()
