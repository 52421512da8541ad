"""The Node Manager's side of the warm parent: start it, hand it assignments, hear its answers, start it again.

The Node Manager never forks by itself; the one process that it makes is executed afresh, shares no descriptor but
one end of a socket pair, and lives in its own session, so that a Ctrl-C meant for the Node Manager does not reach it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from node_manager.assignment import MAX_MESSAGE_BYTES, Assignment, IsolationReport
from node_manager.descent import WARM_PARENT
from node_manager.errors import ForkFailed, OrderRefused
from node_manager.supervisor.config import Confinement
from runtime.processes import how

KILLED_S = 1.0  # within which a killed process is gone
_ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
# What a program needs to know of its host; everything else in our environment is the services' own.
_PASSED = ("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH")
_PASSED_STARTS = ("LC_", "PYTHON", "NVIDIA_")


def environment(ours: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The part of our environment that executors get: a closed list, and variables that begin with one of `more`."""
    starts = (*_PASSED_STARTS, *more)
    return {name: value for name, value in ours.items() if name in _PASSED or name.startswith(starts)}


class WarmParentProcess:
    """One warm parent. When it dies, make another."""

    def __init__(self, preload: Sequence[str], confine: Confinement) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-m", WARM_PARENT, "--socket", str(theirs.fileno())]
            command += ["--preload", ",".join(preload), "--executor-uid", str(confine.uid)]
            command += [f"--closed={path}" for path in confine.closed]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={**environment(os.environ, confine.variables), **_ONE_THREAD},
            )
        self._socket = ours
        self.ready = False
        self.threads = 0
        self.missing: tuple[str, ...] = ()
        self.isolation: IsolationReport | None = None

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    @property
    def how_it_ended(self) -> str:
        """With which exit code or signal; that it runs still, if it does."""
        code = self._process.poll()
        return "runs still" if code is None else how(code)

    def fileno(self) -> int:
        """For a selector: readable when an answer is there or the warm parent is gone."""
        return self._socket.fileno()

    def send(self, assignment: Assignment) -> None:
        """Hand over one assignment. Raises ForkFailed if the warm parent is gone."""
        message = assignment.encode()
        if len(message) > MAX_MESSAGE_BYTES:
            raise OrderRefused("The order's token or folder name is too long.")
        try:
            self._socket.send(message)
        except OSError as problem:
            raise ForkFailed(f"The warm parent is gone ({problem}).", hint="Try again.") from problem

    def receive(self) -> dict[str, object] | None:
        """The next answer, or None when the warm parent is gone."""
        try:
            message = self._socket.recv(MAX_MESSAGE_BYTES)
        except OSError:
            return None
        if not message:
            return None
        answer: dict[str, Any] = json.loads(message)
        if answer["kind"] == "ready":
            self.ready, self.threads = True, int(answer["threads"])
            self.missing = tuple(answer["missing"])
            self.isolation = IsolationReport.model_validate(answer["isolation"])
        return answer

    def close(self, wait_s: float) -> None:
        """Let it go: it ends after its last child, at once where it still imports. Waits at most `wait_s` for that."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # from here on it carries out no assignment
        while self.receive() is not None:
            pass
        self._socket.close()
        if not self.ready:  # it has not said so, and so has no child
            self._process.kill()
            wait_s = max(wait_s, KILLED_S)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
