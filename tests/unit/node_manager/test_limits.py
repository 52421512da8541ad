"""How much executors may use, where groups may be made, and what a folder holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node_manager.last_event import Cause
from node_manager.limits.amounts import Limits, pressure
from node_manager.limits.cgroup1 import Cgroup1
from node_manager.limits.cgroup2 import TREE, Cgroup2
from node_manager.limits.disk import LEAST_OF_A_FILE, folder_bytes, unnamed_bytes
from node_manager.limits.find import version_1, version_2
from node_manager.limits.hierarchy import Hierarchy, own_groups

LIMITS = Limits(memory_bytes=1 << 30, cores=2, processes=64, disk_bytes=1 << 20)
GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory_free", "disk_free", "disk_total", "says"),
    [
        (8 * GIB, 50 * GIB, 100 * GIB, ""),
        (GIB // 8, 50 * GIB, 100 * GIB, "its memory is short: 128.0 MiB of 16.0 GiB left"),
        (8 * GIB, GIB // 8, 100 * GIB, "its disk is nearly full: 128.0 MiB of 100.0 GiB left"),
        (8 * GIB, GIB // 8, GIB, ""),
        (8 * GIB, None, None, ""),
        (8 * GIB, 0, 0, ""),
    ],
)
def test_a_host_with_too_little_left_takes_no_more(memory_free, disk_free, disk_total, says):
    assert pressure(memory_free, 16 * GIB, disk_free, disk_total) == says


MOUNTS_1 = """31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
"""
GROUPS_1 = "8:pids:/../up\n4:memory:/docker/ab/flow\n1:cpu,cpuacct:/user\n"


def test_of_version_1_each_tree_has_its_own_place_and_what_is_out_of_view_is_left_out():
    memory, cpu = Path("/sys/fs/cgroup/memory/flow"), Path("/sys/fs/cgroup/cpu,cpuacct/user")
    assert own_groups(MOUNTS_1, GROUPS_1) == Hierarchy({"cpu": cpu, "cpuacct": cpu, "memory": memory})


@pytest.mark.parametrize(
    ("root", "group", "place"),
    [
        ("/", "/system.slice/flow.service", "/sys/fs/cgroup/system.slice/flow.service"),
        ("/", "/", "/sys/fs/cgroup"),
        ("/pod", "/pod", "/sys/fs/cgroup"),
        ("/pod", "/pods/x", None),
    ],
)
def test_version_2_has_one_place(root, group, place):
    mounts = f"30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    assert own_groups(mounts, f"0::{group}\n").unified == (Path(place) if place else None)


def test_no_control_groups_are_no_place():
    assert own_groups("", "") == Hierarchy()
    assert version_1(Hierarchy(), "x", 1) is None
    assert version_2(Hierarchy(), "x", 1) is None


def test_version_1_needs_memory_and_processes(tmp_path):
    assert version_1(Hierarchy({"memory": tmp_path}), "x", 1) is None


def test_version_2_needs_controllers_of_both(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert version_2(Hierarchy(unified=tmp_path), "x", 1) is None
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    found = version_2(Hierarchy(unified=tmp_path), "x", 4)
    assert found.text.startswith("held by control groups, version 2 (memory, processes, CPU by cores)")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (tmp_path / "x" / "cpu.weight").read_text() == "400"


@pytest.mark.parametrize(
    ("kind", "trees", "written"),
    [
        (
            Cgroup1,
            ("memory", "pids", "cpu"),
            {"memory.limit_in_bytes": "1181116006", "pids.max": "64", "cpu.shares": "2048"},
        ),
        (Cgroup2, (TREE,), {"memory.max": "1181116006", "pids.max": "64"}),
    ],
)
def test_a_group_has_the_limits_of_its_executor(tmp_path, kind, trees, written):
    groups = kind({tree: tmp_path / tree for tree in trees}, "")
    for root in groups.roots.values():
        root.mkdir()
    doors = groups.make("job/task-i1", LIMITS)
    assert doors == tuple(tmp_path / tree / "job.task-i1" / "cgroup.procs" for tree in trees)
    assert {file.name: file.read_text() for file in tmp_path.rglob("*.*") if file.is_file()} == written


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"memory.events": "max 3\noom 0\noom_kill 0\n", "pids.events": "max 0\n"}, None),
        ({"memory.events": "oom 1\noom_kill 1\n", "memory.peak": "1200000000\n"}, (Cause.MEMORY, (1200000000, GIB))),
        ({"memory.events": "oom 1\noom_kill 1\n"}, (Cause.MEMORY, (1181116006, GIB))),
        ({"pids.events": "max 7\n", "pids.current": "60\n"}, (Cause.PROCESSES, (64, 64))),
    ],
)
def test_what_version_2_counts_is_why_an_executor_ended(tmp_path, files, found):
    groups = Cgroup2({TREE: tmp_path}, "")
    (tmp_path / "one").mkdir()
    for name, text in files.items():
        (tmp_path / "one" / name).write_text(text)
    assert groups.overrun("one", LIMITS) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n"}, None),
        ({"memory.oom_control": "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n"}, (Cause.MEMORY, (1200000000, GIB))),
        ({"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"}, (Cause.MEMORY, (1200000000, GIB))),
        ({"pids.events": "max 7\n"}, (Cause.PROCESSES, (64, 64))),
    ],
)
def test_what_version_1_tells_is_why_an_executor_ended(tmp_path, files, found):
    groups = Cgroup1({"memory": tmp_path, "pids": tmp_path}, "")
    (tmp_path / "one").mkdir()
    for name, text in {"memory.max_usage_in_bytes": "1200000000\n", **files}.items():
        (tmp_path / "one" / name).write_text(text)
    assert groups.overrun("one", LIMITS) == found


def test_a_folder_holds_its_files_and_those_without_content_count_too(tmp_path):
    assert folder_bytes(tmp_path, GIB) == 0
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "large").write_bytes(bytes(1 << 20))
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/")
    assert 1 << 20 <= folder_bytes(tmp_path, GIB) <= (1 << 20) + 4 * LEAST_OF_A_FILE
    assert folder_bytes(tmp_path / "absent", GIB) == 0


def test_counting_a_folder_ends_once_it_is_too_large(tmp_path):
    for i in range(100):
        (tmp_path / str(i)).touch()
    assert folder_bytes(tmp_path, 10 * LEAST_OF_A_FILE) == 11 * LEAST_OF_A_FILE


def test_an_open_file_without_a_name_counts(tmp_path):
    before = unnamed_bytes([os.getpid()])
    with (tmp_path / "x").open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        assert unnamed_bytes([os.getpid()]) == before
        (tmp_path / "x").unlink()
        assert unnamed_bytes([os.getpid()]) - before >= 1 << 20
