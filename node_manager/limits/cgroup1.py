"""Control groups of version 1: a tree for each controller. Memory and processes at least, CPU and freezing if there."""

from __future__ import annotations

from contextlib import suppress

from node_manager.last_event import Cause, Overrun
from node_manager.limits.amounts import Limits
from node_manager.limits.groups import Groups, count_in, kill_members, members, signal_members

NEEDED, USEFUL = ("memory", "pids"), ("cpu", "freezer")
SHARES_OF_A_CORE = 1024
_STATE = "freezer.state"


class Cgroup1(Groups):
    """Groups in several trees."""

    def settings(self, tree: str, limits: Limits) -> dict[str, str]:
        """As version 1 calls them.

        Who has no memory left waits until we kill them all: the kernel would kill one of them, often a child whose
        parent then ends for a reason of its own.
        """
        most = str(limits.group_memory_bytes)
        return {
            "memory": {
                "memory.limit_in_bytes": most,
                "memory.memsw.limit_in_bytes?": most,
                "memory.oom_control?": "1",
            },
            "pids": {"pids.max": str(limits.processes)},
            "cpu": {"cpu.shares": str(SHARES_OF_A_CORE * limits.cores)},
        }.get(tree, {})

    def overrun(self, name: str, limits: Limits) -> tuple[Cause, Overrun] | None:
        """The kernel tells whether somebody waits for memory, whom it killed for it, and the processes it refused."""
        folders = self.folders(name)
        control = folders["memory"] / "memory.oom_control"
        if count_in(control, "under_oom") or count_in(control, "oom_kill"):
            used = count_in(folders["memory"] / "memory.max_usage_in_bytes")
            return Cause.MEMORY, Overrun(used, limits.memory_bytes)
        if count_in(folders["pids"] / "pids.events", "max"):
            return Cause.PROCESSES, Overrun(limits.processes, limits.processes)
        return None

    def kill(self, name: str) -> bool:
        """Halt all of them, so that none can fork, and let them go on only to die."""
        folders = self.folders(name)
        if not members(folders.values()):
            return False
        if "freezer" in folders:
            state = folders["freezer"] / _STATE
            try:
                with suppress(OSError):
                    state.write_text("FROZEN")
                signal_members(folders.values())
            finally:
                with suppress(OSError):
                    state.write_text("THAWED")
        return kill_members(folders.values())
