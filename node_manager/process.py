"""A process by pid and start time, so that a reused pid is never mistaken for an old friend. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
_START_TIME_FIELD = 19  # field 22 of proc_pidstat(5), counted after the command's closing bracket
_STATE_FIELD = 0
_THREADS_FIELD = 17
_ENDED = {"Z", "X"}


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
        """Whether this very process still runs; a zombie does not, unless other threads than its first go on."""
        fields = _stat(self.pid)
        if not fields or int(fields[_START_TIME_FIELD]) != self.start_ticks:
            return False
        return fields[_STATE_FIELD] not in _ENDED or int(fields[_THREADS_FIELD]) > 1

    def stopped(self) -> bool:
        """Whether a signal has stopped this very process."""
        fields = _stat(self.pid)
        return bool(fields) and int(fields[_START_TIME_FIELD]) == self.start_ticks and is_stopped(self.pid)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process group that this process leads, if it still runs."""
        if self.alive():
            signal_group(self.pid, number)

    def kill(self) -> None:
        """Kill this very process, not its group."""
        if self.alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)


def is_stopped(pid: int) -> bool:
    """Whether a signal, or a debugger, has stopped a process."""
    return _stat(pid)[:1] in (["T"], ["t"])


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a whole process group; one that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def become_subreaper() -> None:
    """Let orphans among our descendants become our children, so that we can reap them."""
    _set_subreaper(1)


def cease_subreaper() -> None:
    """Leave them to whoever is above us: nobody here reaps any more."""
    _set_subreaper(0)


def name_process(name: str) -> None:
    """What lists of processes call this one: up to 15 bytes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def _set_subreaper(yes: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, yes, 0, 0, 0)


def anonymous_bytes(pid: int) -> int:
    """Memory that only this process's own doing made: anonymous and shared, without mapped files. 0 when gone."""
    rows = ("RssAnon:", "RssShmem:")
    of_first = _kilobytes(Path(f"/proc/{pid}/status"), rows)
    if of_first is None:  # the first thread has ended, the others have the memory
        found = (_kilobytes(task / "status", rows) for task in _threads(pid))
        of_first = next((size for size in found if size is not None), 0)
    return of_first * 1024


def bytes_of_family(leader: int, family: Collection[int]) -> int:
    """The same of a process and all that descends from it; what they share with each other is counted once."""
    own = anonymous_bytes(leader)
    return max(own, sum(_part_of_bytes(pid) for pid in (leader, *family))) if family else own


def _part_of_bytes(pid: int) -> int:
    """Of what it shares with other processes only its part. Where the kernel keeps that from us, the whole."""
    part = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), ("Pss_Anon:", "Pss_Shmem:"))
    return anonymous_bytes(pid) if part is None else part * 1024


def kernel_oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot, as far as it tells."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def _kilobytes(table: Path, rows: tuple[str, ...]) -> int | None:
    """The sum of these rows of a table of the kernel's. None where it has none, or cannot be read."""
    try:
        found = [int(line.split()[1]) for line in table.read_text().splitlines() if line.startswith(rows)]
    except (OSError, IndexError, ValueError):
        return None
    return sum(found) if found else None


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) after the command's closing bracket; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
