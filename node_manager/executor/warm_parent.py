"""The warm parent: a process that has imported what executors need, and forks one for each assignment.

It only imports. It holds no gRPC object, no thread pool, no database, and makes no parallel call before a fork,
because a child of such a parent hangs. It reaps its children, leaves how each ended in its working folder, and when
its Node Manager goes away it stays until the last of them has ended.

Run as `python -m node_manager.executor.warm_parent --socket FD --preload a,b …` by `supervisor/spawn.py` only.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import select
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node_manager.assignment import MAX_MESSAGE_BYTES, Assignment, failed_answer, ready_answer
from node_manager.descent import end_left_behind
from node_manager.executor.event_log import ring
from node_manager.executor.isolation import Isolation
from node_manager.folders import EXIT, SCHEMA, write_json
from node_manager.process import become_subreaper, signal_group
from runtime.errors import PlatformError

_EXECUTOR_NEEDS = (
    "numpy.random",
    "pyarrow.ipc",
    "pyarrow.fs",
    "threadpoolctl",
    "sklearn.metrics",
    "node_manager.executor.child_setup",
    "grpc._channel",  # which the first channel imports
)
TRY_AGAIN_S = 0.5
_KIB = 1024
HUNT_AGAIN_S = 0.05


@dataclass(frozen=True)
class _Child:
    folder: Path
    doorbell: str


@dataclass(frozen=True)
class _End:
    """How a child ended: it is reaped, and its exit file not written yet."""

    child: _Child
    pid: int
    status: int
    peak_bytes: int

    def written(self) -> bool:
        """Write the exit file and ring; False where the disk refuses it for now."""
        body: dict[str, object] = {"schema": SCHEMA, "pid": self.pid, "status": self.status}
        folder = self.child.folder
        try:
            with suppress(FileNotFoundError):  # the job was cleaned meanwhile
                write_json(folder / EXIT, {**body, "peak_bytes": self.peak_bytes})
        except (PlatformError, OSError):
            return False
        ring(self.child.doorbell, f"{folder.parent.name}/{folder.name}")
        return True


class WarmParent:
    """The loop: assignments in, children out, ends recorded."""

    def __init__(self, orders: socket.socket, isolation: Isolation) -> None:
        self._orders = orders
        self._isolation = isolation
        self._children: dict[int, _Child] = {}
        self._unwritten: list[_End] = []  # for want of room on the disk
        self._left_behind = False
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the Node Manager is gone and the last child has ended."""
        listening = True
        while listening or self._children or self._unwritten or self._left_behind:
            for ready, _ in self._selector.select(self._pause_s()):
                if ready.fileobj is self._orders:
                    listening = self._receive()
                else:
                    with suppress(BlockingIOError):
                        self._woken.recv(_KIB)
            self._reap()
            self._unwritten = [end for end in self._unwritten if not end.written()]

    def _receive(self) -> bool:
        try:
            message = self._orders.recv(MAX_MESSAGE_BYTES)
        except OSError:
            message = b""
        if not message or self._abandoned():
            self._selector.unregister(self._orders)
            return False
        self._fork(Assignment.model_validate_json(message))
        return True

    def _abandoned(self) -> bool:
        """Whether the Node Manager is gone: what it still had in the line is not carried out, nobody would watch it."""
        line = select.poll()
        line.register(self._orders, select.POLLHUP)
        return any(happened & select.POLLHUP for _, happened in line.poll(0))

    def _fork(self, assignment: Assignment) -> None:
        try:
            pid = os.fork()
        except OSError as problem:
            with suppress(OSError):
                self._orders.send(failed_answer(assignment.number, str(problem)))
            return
        if pid == 0:
            from node_manager.executor.child_setup import live

            live(assignment, self._orders, self._isolation)
        self._children[pid] = _Child(assignment.folder, assignment.doorbell)

    def _reap(self) -> None:
        """Note who ended, once nothing is left of what they left behind: children of ours that we did not make."""
        while (ended := _next_ended()) is not None or self._left_behind:
            over = [pid for pid in self._children if _next_ended(pid) is not None]
            for pid in over:
                signal_group(pid, signal.SIGKILL)
            if ended is not None and ended not in self._children:
                os.waitpid(ended, 0)
            self._left_behind = not end_left_behind(self._children, lambda _: True)
            for pid in over:
                _, status, usage = os.wait4(pid, 0)
                self._unwritten.append(_End(self._children.pop(pid), pid, status, usage.ru_maxrss * _KIB))
            if self._left_behind:
                return

    def _pause_s(self) -> float | None:
        """How long to wait for orders before what is left to do is tried again."""
        if self._left_behind:
            return HUNT_AGAIN_S
        return TRY_AGAIN_S if self._unwritten else None


def _next_ended(pid: int = 0) -> int | None:
    """A child that has ended and was not reaped, this one or any."""
    try:
        ended = os.waitid(os.P_PID if pid else os.P_ALL, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended else None


def _noted(_number: int, _frame: object) -> None:
    """A handler has to exist for the wake-up descriptor to be written."""


def preload(modules: list[str], needed: tuple[str, ...] = _EXECUTOR_NEEDS) -> list[str]:
    """Import what executors need; returns the names of those that are not installed."""
    missing = []
    for name in (*modules, *needed):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as absent:
            if absent.name is None or not name.startswith(absent.name):
                raise
            missing.append(name)
    return missing


def main(arguments: list[str]) -> int:
    """Import, say so, serve."""
    parser = argparse.ArgumentParser(prog="python -m node_manager.executor.warm_parent")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--preload", default="")
    parser.add_argument("--executor-uid", type=int, required=True)
    parser.add_argument("--closed", action="append", type=Path, default=[])
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=options.socket)
    become_subreaper()
    missing = preload([name for name in options.preload.split(",") if name])
    _load_components()
    _find_libraries()
    isolation = Isolation.find(options.executor_uid, options.closed)
    gc.collect()
    gc.freeze()
    with suppress(OSError):
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208  a count of names
        orders.send(ready_answer(threads, missing, isolation.report))
    WarmParent(orders, isolation).run()
    return 0


def _find_libraries() -> None:
    """Find the libraries whose threads each executor sets, once for all of them."""
    from node_manager.executor.threads import find_libraries

    find_libraries()


def _load_components() -> None:
    """Import every registered component and read its source once, so that no executor has to."""
    from algorithms.registry import components

    for component in components():
        _ = component.code_digest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
