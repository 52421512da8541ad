"""How much an executor may use of its host, and when a host has too little left to take one more. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.text import size

MEMORY_HEADROOM = 1.1
LEAST_MEMORY_SHARE = 0.03
LEAST_DISK_BYTES, LEAST_DISK_SHARE = 256 << 20, 0.02


@dataclass(frozen=True)
class Limits:
    """What one executor may use, with all that it starts.

    Attributes:
        memory_bytes, cores: What its order says.
        processes: How many processes it may be; in control groups, threads count as well.
        disk_bytes: How large its working folder may become.
        inherited_bytes: What it shares with the process that it is forked from, until it writes to it.
    """

    memory_bytes: int
    cores: int
    processes: int
    disk_bytes: int
    inherited_bytes: int = 0

    @property
    def most_memory_bytes(self) -> int:
        """From where on it is ended, not counting what it inherited: a little more than its order says."""
        return int(self.memory_bytes * MEMORY_HEADROOM)

    @property
    def group_memory_bytes(self) -> int:
        """The limit of its control group, to which a page that was shared is charged once it has been written to."""
        return self.most_memory_bytes + self.inherited_bytes


def pressure(memory_free: int, memory_total: int, disk_free: int | None, disk_total: int | None) -> str:
    """Why a host takes no more executors for now; empty if it does. The amounts are bytes."""
    if memory_free < LEAST_MEMORY_SHARE * memory_total:
        return f"its memory is short: {size(memory_free)} of {size(memory_total)} left"
    if disk_free is not None and disk_total and disk_free < min(LEAST_DISK_BYTES, LEAST_DISK_SHARE * disk_total):
        return f"its disk is nearly full: {size(disk_free)} of {size(disk_total)} left"
    return ""
