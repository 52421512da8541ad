"""Forks the workers of one executor from what it was when it began: everything is imported, nothing is open yet.

A worker that is executed afresh has to import first, and that takes longer than many a batch. An executor has threads
before it knows whether it wants workers; so, where its order gives it several cores, it forks this process at once,
which has one thread, does nothing but fork workers when it is asked, and ends when the executor does.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from algorithms.compute.worker import main as compute
from algorithms.compute.workers import Workers
from node_manager.executor.threads import compute_alike
from node_manager.process import name_process


@contextmanager
def workers_of(cores: int) -> Iterator[Workers]:
    """What computes on so many cores. Call it while this process has one thread and nothing open that is its own."""
    if cores == 1:
        yield Workers()
        return
    line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.fork()
    if not parent:
        line.close()
        _serve(theirs)
    theirs.close()
    workers = Workers(cores, lambda end: _asked(line, end))
    try:
        yield workers
    finally:
        workers.close()
        line.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(parent, signal.SIGKILL)  # what a component has forked may hold the line open
            os.waitpid(parent, 0)


def _asked(line: socket.socket, end: socket.socket) -> Callable[[], None]:
    """Ask for a worker that speaks over this end of its line; nothing is to be waited for when it is closed."""
    socket.send_fds(line, [b"w"], [end.fileno()])
    return lambda: None


def _serve(line: socket.socket) -> NoReturn:
    """Fork workers until nobody can ask any more; a worker comes out here as well, once it has nothing to do."""
    code = 1
    try:
        name_process("worker parent")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while handles := socket.recv_fds(line, 1, 1)[1]:
            with suppress(BlockingIOError):  # no more processes: who asked finds the line closed
                if not os.fork():
                    line.close()
                    _work(*handles)
                    break
            os.close(*handles)
        code = 0
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _work(handle: int) -> None:
    name_process("worker")
    random.seed()
    compute_alike(gpus=False)
    compute(handle)
