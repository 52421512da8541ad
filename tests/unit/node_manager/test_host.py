"""What the host tells about itself."""

from __future__ import annotations

import os

from node_manager.order import Resources
from node_manager.supervisor import host
from node_manager.supervisor.host import Load, count_gpus, find_capacity, parse_gpus


def test_settings_win_over_what_the_host_has():
    assert find_capacity(3, 1 << 30, 2) == Resources(cores=3, memory_bytes=1 << 30, gpus=2)
    found = find_capacity()
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 1 << 28


def test_what_nvidia_smi_prints_is_read():
    assert parse_gpus("0, 37\n1, [N/A]\n\nNo devices were found\n2, 100\n") == (37.0, 0.0, 100.0)


def test_gpus_are_counted_by_the_tool_or_else_by_the_driver(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Load(2).read()[2] == ()
    assert count_gpus(tmp_path / "none") == 0
    (tmp_path / "gpus" / "0000:01").mkdir(parents=True)
    assert count_gpus(tmp_path / "gpus") == 1
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0, 10\necho 1, 30\n")
    tool.chmod(0o755)
    assert count_gpus(tmp_path / "gpus") == 2
    assert Load(2).read()[2] == (10.0, 30.0)
    assert not caplog.records
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert count_gpus(tmp_path / "gpus") == 1
    assert "exit status 9" in caplog.text
    assert Load(2).read()[2] == ()


def test_a_host_without_gpus_does_not_ask_for_their_load(monkeypatch):
    monkeypatch.setattr(host, "gpu_percents", lambda: 1 / 0)
    percent, used, gpus = Load(0).read()
    assert percent >= 0
    assert used > 0
    assert gpus == ()
