"""Which executors run here now. The supervisor's thread ends them; RPC threads add, look and wait."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from node_manager.errors import NoGpuLeft
from node_manager.folders import ExecutorKey
from node_manager.last_event import Cause, Overrun
from node_manager.order import Resources
from node_manager.process import ProcessId


@dataclass(eq=False)
class Running:
    """One executor that has not ended, as far as we know.

    Attributes:
        key, folder, resources: Who it is, where it works, what it may use.
        gpus: Indexes of the GPUs it was given.
        process: Known once it runs; process_file: the open pidfd, owned by the supervisor.
        started: Resolves to the pid. ended: set after its end is recorded.
        inherited_bytes: What it had from its parent, which does not count against it.
        oom_kills: The kernel's count when it began.
        decided: What we did to it, if anything; overrun: what it had used too much of, where that is why.
        gone_at: When it was seen gone without an exit file, while there was room for one.
        reservation: By which name the Cluster Manager knows its room; empty if its order does not say.
        unwritten: How it ended, for its exit file, as long as the disk does not take it.
    """

    key: ExecutorKey
    folder: Path
    resources: Resources
    gpus: tuple[int, ...] = ()
    process: ProcessId | None = None
    process_file: int | None = None
    started: Future[int] = field(default_factory=Future)
    ended: threading.Event = field(default_factory=threading.Event)
    inherited_bytes: int = 0
    oom_kills: int = 0
    decided: Cause | None = None
    overrun: Overrun | None = None
    gone_at: float | None = None
    unwritten: dict[str, object] = field(default_factory=dict)
    reservation: str = ""


class RunningExecutors:
    """The running executors by key and by number of their assignment. Safe to use from several threads."""

    def __init__(self, gpus: int) -> None:
        self._lock = threading.Lock()
        self._running: dict[ExecutorKey, Running] = {}
        self._numbers: dict[int, Running] = {}
        self._next = 0
        self._gpus = gpus

    def add(self, running: Running) -> Running:
        """Add it and give it GPUs, unless its key is there already; returns the one that is there then.

        Raises NoGpuLeft if its order asks for more GPUs than are free.
        """
        with self._lock:
            present = self._running.get(running.key)
            if present is not None:
                return present
            if running.resources.gpus and not running.gpus:
                running.gpus = self._free_gpus(running.resources.gpus)
            self._running[running.key] = running
            return running

    def remove(self, running: Running) -> None:
        """It has ended."""
        with self._lock:
            self._running.pop(running.key, None)
            self._numbers = {number: other for number, other in self._numbers.items() if other is not running}

    def number(self, running: Running) -> int:
        """A fresh number for an assignment of it."""
        with self._lock:
            self._next += 1
            self._numbers[self._next] = running
            return self._next

    def numbered(self, number: object) -> Running | None:
        """Whose assignment had this number; it is asked once."""
        with self._lock:
            return self._numbers.pop(int(str(number)), None)

    def unanswered(self) -> list[Running]:
        """Those whose assignment is not answered; the answer may still come."""
        with self._lock:
            return list(self._numbers.values())

    def waiting(self) -> list[Running]:
        """Those whose assignment is not answered and will not be: they wait no longer."""
        with self._lock:
            found, self._numbers = list(self._numbers.values()), {}
            return found

    def all(self) -> list[Running]:
        """All of them."""
        with self._lock:
            return list(self._running.values())

    def in_folder(self, folder: str) -> Running | None:
        """The one that works in this folder."""
        return next((running for running in self.all() if running.key.folder == folder), None)

    def matching(self, job: str, task: str | None = None, attempt: int | None = None) -> list[Running]:
        """Those that a command for (job, task, attempt) means."""
        return [running for running in self.all() if running.key.matches(job, task, attempt)]

    def beside(self, key: ExecutorKey) -> list[Running]:
        """Other incarnations of the same side."""
        return [running for running in self.all() if running.key.side == key.side and running.key != key]

    def _free_gpus(self, count: int) -> tuple[int, ...]:
        used = {gpu for running in self._running.values() for gpu in running.gpus}
        free = [gpu for gpu in range(self._gpus) if gpu not in used]
        if len(free) < count:
            raise NoGpuLeft(f"The order asks for {count} GPUs; {len(free)} of {self._gpus} are free.")
        return tuple(free[:count])
