"""Holds memory, cores, disk, processes, or says many lines, for a while: shows whether a host's limits hold.

Source: none, there is no mathematics.

Conversation: none. Every address does the same on its own host, and nobody learns anything.

An operator asks for more than the order allows, and sees who is ended, by what cause and with what numbers, and
whether neighbours notice; or for less, and sees what a host bears. What is held:

    memory_mib       MiB that are written to once, in this process
    cores            as many more processes that compute all the time
    disk_mib         MiB in files of the working folder
    log_lines        lines that are said as fast as they are taken
    processes        as many more processes that sleep, each in a session of its own
    ignore_sigterm   a request to end is not heard, so that only SIGKILL helps

What it has started ends with it.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NoReturn

import numpy as np
from pydantic import Field

from algorithms.api.component import Component, RoleSpec, silent
from algorithms.api.context import Context
from algorithms.api.parameters import Parameters
from algorithms.kit.disclosure import NOTHING
from party.ids import Role

MEBIBYTE = 1 << 20
MOST_MIB = 1 << 24
STEP_S = 0.5


class BallastParameters(Parameters):
    """Parameters of `ballast@1`."""

    memory_mib: int = Field(0, ge=0, le=MOST_MIB, description="MiB of memory to hold.")
    cores: int = Field(0, ge=0, le=1024, description="How many processes compute all the time.")
    disk_mib: int = Field(0, ge=0, le=MOST_MIB, description="MiB to write into the working folder.")
    log_lines: int = Field(0, ge=0, le=1_000_000_000, description="How many lines to say.")
    processes: int = Field(0, ge=0, le=100_000, description="How many processes to start that only sleep.")
    seconds: float = Field(10.0, ge=0, le=86_400, description="How long to hold all of it.")
    ignore_sigterm: bool = Field(default=False, description="Whether a request to end is not heard.")


def hold(ctx: Context, parameters: BallastParameters) -> None:
    """Take all of it, hold it for so long, give it back. Raises OSError where the system refuses a part."""
    if parameters.ignore_sigterm and threading.current_thread() is threading.main_thread():  # not in a local run
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with ExitStack() as held:
        memory = np.ones(parameters.memory_mib * MEBIBYTE, dtype=np.uint8)
        file = held.enter_context(tempfile.NamedTemporaryFile(buffering=0))
        for _ in range(parameters.disk_mib):
            file.write(bytes(MEBIBYTE))
        for _ in range(parameters.cores):
            held.callback(_end, _started(_compute))
        for _ in range(parameters.processes):
            held.callback(_end, _started(_sleep))
        for i in range(parameters.log_lines):
            ctx.events.log("info", f"Line {i + 1} of {parameters.log_lines}")
        _wait(ctx, parameters.seconds)
        del memory


def _wait(ctx: Context, seconds: float) -> None:
    until = time.monotonic() + seconds
    steps = max(1, round(seconds / STEP_S))
    with ctx.progress(steps, "steps") as progress:
        for step in range(steps):
            time.sleep(max(0.0, until - time.monotonic()) / (steps - step))
            progress(step + 1)


def _started(body: Callable[[], NoReturn]) -> int:
    """The pid of a process that does this in a session of its own."""
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            body()
        finally:
            os._exit(1)
    return pid


def _compute() -> NoReturn:
    while True:
        pass


def _sleep() -> NoReturn:
    while True:
        time.sleep(3600)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


COMPONENT = Component(
    name="ballast",
    version=1,
    parameters=BallastParameters,
    inputs={},
    outputs={},
    roles={role: RoleSpec(hold, learns=NOTHING) for role in (Role.GUEST, Role.HOST, Role.ARBITER)},
    conversation=silent,
)
