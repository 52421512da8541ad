"""What the host tells about itself."""

from __future__ import annotations

import os

from node_manager.supervisor import host
from node_manager.supervisor.host import (
    GpuLoad,
    Load,
    count_gpus,
    find_capacity,
    parse_gpus,
    query_gpus,
)


def test_settings_win_over_what_the_host_has():
    assert find_capacity(3, 1 << 30, 2) == host.Capacity(3, 1 << 30, 2)
    found = find_capacity()
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 1 << 28


def test_what_nvidia_smi_prints_is_read():
    assert parse_gpus("37, 1024\n[N/A], 5\n\nerror\n") == GpuLoad((37.0, 0.0), (1 << 30, 5 << 20))


def test_gpus_are_counted_by_the_tool_or_else_by_the_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert query_gpus() == GpuLoad()
    assert count_gpus(tmp_path / "none") == 0
    (tmp_path / "gpus" / "0000:01").mkdir(parents=True)
    assert count_gpus(tmp_path / "gpus") == 1
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 10, 20\necho 30, 40\n")
    tool.chmod(0o755)
    assert count_gpus(tmp_path / "gpus") == 2
    assert Load(2).read()[2] == GpuLoad((10.0, 30.0), (20 << 20, 40 << 20))
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert query_gpus() == GpuLoad()


def test_a_host_without_gpus_does_not_ask_for_their_load(monkeypatch):
    monkeypatch.setattr(host, "query_gpus", lambda: 1 / 0)
    percent, used, gpus = Load(0).read()
    assert percent >= 0
    assert used > 0
    assert gpus == GpuLoad()
