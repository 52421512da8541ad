"""Finds executors that use more than they may and kills them, with all that they have started.

What the kernel holds by control groups is only asked for; the rest is measured: executors themselves often, what they
started and what they wrote more rarely.
"""

from __future__ import annotations

import signal
from collections.abc import Collection

from node_manager.descent import families
from node_manager.last_event import Cause, Overrun
from node_manager.limits.amounts import Limits
from node_manager.limits.disk import folder_bytes, unnamed_bytes
from node_manager.limits.groups import Enforcement
from node_manager.order import Resources
from node_manager.process import anonymous_bytes, bytes_of_family
from node_manager.supervisor.config import NodeConfig
from node_manager.supervisor.running_executors import Running


class Overruns:
    """The limits of the executors of one node."""

    def __init__(self, config: NodeConfig, enforcement: Enforcement) -> None:
        self._config = config
        self._enforcement = enforcement

    def limits(self, resources: Resources, inherited_bytes: int = 0) -> Limits:
        """What an executor of such an order may use."""
        given = self._config
        return Limits(
            memory_bytes=resources.memory_bytes,
            cores=resources.cores,
            processes=given.processes,
            disk_bytes=given.disk_bytes,
            inherited_bytes=inherited_bytes,
        )

    def check(self, executors: Collection[Running], *, thorough: bool) -> None:
        """End those that use too much; what they started and wrote is looked at where it is `thorough`."""
        watched = [running for running in executors if running.process_file is not None and running.decided is None]
        beneath = families([_pid(running) for running in watched]) if thorough else {}
        for running in watched:
            found = self._refused(running) or self._measured(running, beneath.get(_pid(running)))
            if found is not None:
                running.decided, running.overrun = found
                self._kill(running)

    def note_end(self, running: Running) -> None:
        """It has ended: if the kernel killed it for what it used, that is why."""
        if running.decided is None and (found := self._refused(running)) is not None:
            running.decided, running.overrun = found

    def _refused(self, running: Running) -> tuple[Cause, Overrun] | None:
        return self._enforcement.overrun(running.key.folder, self.limits(running.resources))

    def _measured(self, running: Running, family: list[int] | None) -> tuple[Cause, Overrun] | None:
        limits, pid = self.limits(running.resources), _pid(running)
        if not self._enforcement.holds(running.key.folder):
            used = anonymous_bytes(pid) if family is None else bytes_of_family(pid, family)
            grown = used - running.inherited_bytes
            if grown > limits.most_memory_bytes:
                return Cause.MEMORY, Overrun(grown, limits.memory_bytes)
            if family is not None and 1 + len(family) > limits.processes:
                return Cause.PROCESSES, Overrun(1 + len(family), limits.processes)
        if family is not None:
            written = folder_bytes(running.folder, limits.disk_bytes) + unnamed_bytes((pid, *family))
            if written > limits.disk_bytes:
                return Cause.DISK, Overrun(written, limits.disk_bytes)
        return None

    def _kill(self, running: Running) -> None:
        if not self._enforcement.kill(running.key.folder) and running.process is not None:
            running.process.signal_group(signal.SIGKILL)


def _pid(running: Running) -> int:
    return running.process.pid if running.process is not None else 0
