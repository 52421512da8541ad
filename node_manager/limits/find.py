"""Chooses, once at the start, how executors are held to their limits here: by what can really be done."""

from __future__ import annotations

import zlib
from pathlib import Path

from node_manager.limits import cgroup1, cgroup2
from node_manager.limits.amounts import Limits
from node_manager.limits.cgroup1 import SHARES_OF_A_CORE, Cgroup1
from node_manager.limits.cgroup2 import MOST_WEIGHT, WEIGHT_OF_A_CORE, Cgroup2
from node_manager.limits.groups import Enforcement, Groups
from node_manager.limits.hierarchy import Hierarchy, own_groups

PROBE = "probe"
WATCHED = (
    "watched, and ended when they use more memory, processes or disk than they may; CPU is not divided. "
    "No control groups can be used here"
)
_TRIED = Limits(memory_bytes=64 << 20, cores=1, processes=16, disk_bytes=1 << 20)


def find_enforcement(state: Path, cores: int) -> Enforcement:
    """The strictest that holds here, for the node whose own folder is `state`; `cores` is what executors share."""
    name = f"archipelago-{zlib.crc32(str(state).encode()):08x}"
    try:
        here = own_groups(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
        return version_2(here, name, cores) or version_1(here, name, cores) or watched("none are mounted")
    except OSError as problem:
        return watched(str(problem.strerror))


def watched(why: str) -> Enforcement:
    """No groups."""
    return Enforcement(f"{WATCHED} ({why}).")


def version_1(here: Hierarchy, name: str, cores: int) -> Groups | None:
    """Raises OSError where the trees are there, but not for us."""
    if not set(cgroup1.NEEDED) <= set(here.by_controller):
        return None
    used = [tree for tree in (*cgroup1.NEEDED, *cgroup1.USEFUL) if tree in here.by_controller]
    roots = {tree: here.by_controller[tree] / name for tree in used}
    found = Cgroup1(roots, _text(1, used))
    for root in roots.values():
        root.mkdir(exist_ok=True)
    if "cpu" in roots:  # beside each process of the services, not beside all of them together
        (roots["cpu"] / "cpu.shares").write_text(str(SHARES_OF_A_CORE * cores))
    return _tried(found)


def version_2(here: Hierarchy, name: str, cores: int) -> Groups | None:
    """Raises OSError where the tree is there, but not for us."""
    if here.unified is None or not (here.unified / "cgroup.controllers").exists():
        return None
    there = (here.unified / "cgroup.controllers").read_text().split()
    if not set(cgroup2.NEEDED) <= set(there):
        return None
    used = [tree for tree in (*cgroup2.NEEDED, *cgroup2.USEFUL) if tree in there]
    root = here.unified / name
    root.mkdir(exist_ok=True)
    cgroup2.hand_down(here.unified, used)
    cgroup2.hand_down(root, used)
    if "cpu" in used:
        (root / "cpu.weight").write_text(str(min(MOST_WEIGHT, WEIGHT_OF_A_CORE * cores)))
    return _tried(Cgroup2({cgroup2.TREE: root}, _text(2, used)))


def _tried(found: Groups) -> Groups:
    """As it is, once a group could be made and removed. Raises OSError."""
    try:
        found.make(PROBE, _TRIED)
    finally:
        found.remove(PROBE)
    return found


def _text(version: int, trees: list[str]) -> str:
    words = {"memory": "memory", "pids": "processes", "cpu": "CPU by cores"}
    held = ", ".join(words[tree] for tree in trees if tree in words)
    return f"held by control groups, version {version} ({held}); their disk is watched."
