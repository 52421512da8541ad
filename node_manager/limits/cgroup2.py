"""Control groups of version 2: one tree, and one word that kills all in a group."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from node_manager.last_event import Cause, Overrun
from node_manager.limits.amounts import Limits
from node_manager.limits.groups import PROCS, Groups, count_in, kill_members, members

TREE = "unified"
NEEDED, USEFUL = ("memory", "pids"), ("cpu",)
SERVICES = "services"
WEIGHT_OF_A_CORE, MOST_WEIGHT = 100, 10_000


class Cgroup2(Groups):
    """Groups in one tree."""

    def settings(self, _tree: str, limits: Limits) -> dict[str, str]:
        """As version 2 calls them."""
        return {
            "memory.max": str(limits.group_memory_bytes),
            "memory.swap.max?": "0",
            "memory.oom.group?": "1",
            "pids.max": str(limits.processes),
            "cpu.weight?": str(min(MOST_WEIGHT, WEIGHT_OF_A_CORE * limits.cores)),
        }

    def overrun(self, name: str, limits: Limits) -> tuple[Cause, Overrun] | None:
        """The kernel counts whom it killed for memory, and the processes that it refused."""
        folder = self.folders(name)[TREE]
        if count_in(folder / "memory.events", "oom_kill"):
            peak = folder / "memory.peak"  # since Linux 5.19
            used = count_in(peak) if peak.exists() else limits.group_memory_bytes
            return Cause.MEMORY, Overrun(used, limits.memory_bytes)
        if count_in(folder / "pids.events", "max"):
            return Cause.PROCESSES, Overrun(limits.processes, limits.processes)
        return None

    def kill(self, name: str) -> bool:
        """By the kernel at once; one by one before Linux 5.14."""
        folder = self.folders(name)[TREE]
        if not members([folder]):
            return False
        with suppress(OSError):
            if (folder / "cgroup.kill").exists():
                (folder / "cgroup.kill").write_text("1")
        return kill_members([folder])


def hand_down(group: Path, controllers: list[str]) -> None:
    """Let groups below have these controllers. Raises OSError.

    Only a group without processes of its own may hand them down: those that are in it, our own services and what
    they were started with, go into a group beside the executors'.
    """
    words = " ".join(f"+{name}" for name in controllers)
    with suppress(OSError):
        (group / "cgroup.subtree_control").write_text(words)
        return
    (group / SERVICES).mkdir(exist_ok=True)
    for pid in members([group]):
        with suppress(ProcessLookupError):
            (group / SERVICES / PROCS).write_text(str(pid))
    (group / "cgroup.subtree_control").write_text(words)
