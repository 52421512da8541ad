"""A process by pid and start time, so that a reused pid is never mistaken for an old friend. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
_START_TIME_FIELD = 19  # field 22 of proc_pid_stat(5), counted after the command's closing bracket
_STATE_FIELD = 0


@dataclass(frozen=True)
class ProcessId:
    """A pid and the kernel's start time of it, in clock ticks since boot."""

    pid: int
    start_ticks: int

    @staticmethod
    def of(pid: int) -> ProcessId | None:
        """The identity of a living (or not yet reaped) process, or None."""
        fields = _stat(pid)
        return ProcessId(pid, int(fields[_START_TIME_FIELD])) if fields else None

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        fields = _stat(self.pid)
        return bool(fields) and int(fields[_START_TIME_FIELD]) == self.start_ticks and fields[_STATE_FIELD] != "Z"

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process group that this process leads, if it still runs."""
        if self.alive():
            signal_group(self.pid, number)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a whole process group; one that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def become_subreaper() -> None:
    """Let orphans among our descendants become our children, so that we can reap them."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def anonymous_bytes(pid: int) -> int:
    """Memory that only this process's own doing made: anonymous and shared, without mapped files. 0 when gone."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return total


def kernel_oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot, as far as it tells."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
