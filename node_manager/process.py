"""A process by pid and start time, so that a reused pid is never mistaken for an old friend. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
_START_TIME_FIELD = 19  # field 22 of proc_pid_stat(5), counted after the command's closing bracket
_STATE_FIELD = 0
_GROUP_FIELD = 2


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
    return _kilobytes(Path(f"/proc/{pid}/status"), ("RssAnon:", "RssShmem:")) * 1024


def anonymous_bytes_of_groups(leaders: Collection[int]) -> dict[int, int]:
    """The same of the leaders of process groups and of all in their groups, what a member shares with others left out.

    A forked member shares what its parent had before; that is counted once, with the leader.
    """
    total = {leader: anonymous_bytes(leader) for leader in leaders}
    for pid in psutil.pids() if leaders else ():
        fields = _stat(pid)
        group = int(fields[_GROUP_FIELD]) if fields else 0
        if group in total and pid != group:
            total[group] += _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), ("Private_Dirty:",)) * 1024
    return total


def kernel_oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot, as far as it tells."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _kilobytes(table: Path, rows: tuple[str, ...]) -> int:
    """The sum of these rows of a table of the kernel's. 0 when the process is gone."""
    try:
        return sum(int(line.split()[1]) for line in table.read_text().splitlines() if line.startswith(rows))
    except (OSError, IndexError, ValueError):
        return 0


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
