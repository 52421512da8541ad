"""What a Node Manager that comes back makes of working folders whose order it cannot read."""

from __future__ import annotations

import json
import subprocess

import pytest

from node_manager.assignment import record_process
from node_manager.client import NodeClient, end_left_over
from node_manager.folders import ORDER, ExecutorKey, make_folder
from node_manager.process import ProcessId
from node_manager.server import NodeService
from party.home_init import create_home
from runtime.disk.files import private_folder
from tests.fakes.nodes import eventually, make_config, make_order


@pytest.fixture
def process():
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        process.kill()


def left_by_another(root, process, **changes):
    """A folder with the order of a process that runs, as another release has written it."""
    private_folder(root)
    order = make_order()
    folder = make_folder(root, ExecutorKey.of(order), order)
    (folder / ORDER).write_text(json.dumps(json.loads((folder / ORDER).read_text()) | changes))
    record_process(folder, ProcessId.of(process.pid))
    return folder


def restarted(tmp_path):
    """The executors that a Node Manager knows once it has begun."""
    service = NodeService(make_config(tmp_path))
    service.start()
    client = NodeClient(service._config.socket)
    try:
        return next(client.watch()).executors
    finally:
        client.close()
        service.stop(2)


def test_an_executor_is_adopted_whatever_else_its_order_says(tmp_path, process):
    folder = left_by_another(tmp_path / "executors", process, in_another_release=1)
    assert restarted(tmp_path) == (str(folder.relative_to(tmp_path / "executors")),)
    assert folder.exists()


def test_an_executor_whose_order_means_something_else_is_ended_before_its_folder_goes(tmp_path, process, caplog):
    folder = left_by_another(tmp_path / "executors", process, schema=2)
    assert restarted(tmp_path) == ()
    eventually(lambda: process.poll() is not None)
    assert not folder.exists()
    assert "schema 2" in caplog.text


def test_a_folder_that_cannot_be_read_now_stays(tmp_path, process, caplog):
    folder = left_by_another(tmp_path / "executors", process)
    (folder / ORDER).unlink()
    (folder / ORDER).mkdir()
    assert restarted(tmp_path) == ()
    assert folder.exists()
    assert process.poll() is None
    assert "cannot be read" in caplog.text


def test_what_is_left_over_is_ended_whatever_its_order_says_and_its_folder_stays(tmp_path, process):
    home = create_home(tmp_path / "home", "a")
    folder = left_by_another(home.state("node") / "executors", process, schema=2)
    assert end_left_over(home) == 1
    eventually(lambda: process.poll() is not None)
    assert folder.exists()
