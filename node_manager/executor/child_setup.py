"""What a freshly forked child does before it is an executor, and how it ends.

It leads its own session and process group and keeps beneath it whatever it will start, works in its own folder, writes
to its own files, keeps nothing open of what it was forked from, dumps no core, is the first that the kernel kills when
memory is short, and gives up all rights that its order does not need before any component code runs.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from socket import socket
from types import FrameType
from typing import NoReturn

from node_manager.assignment import Assignment, failed_answer, record_process, started_answer
from node_manager.executor.isolation import Isolation
from node_manager.executor.main import main
from node_manager.folders import EXIT, STDERR, STDOUT, read_order
from node_manager.order import Order
from node_manager.process import ProcessId, become_subreaper
from runtime.errors import PlatformError

MAX_OPEN_FILES = 4096
CRASHED = 70
ALL_FILES = 1 << 20
STOPPED = 128 + signal.SIGTERM
PRIVATE = 0o077
_OOM_SCORE = "500"
_MYSELF = "0"
_SOON_S = 0.01


def live(assignment: Assignment, answers: socket, isolation: Isolation) -> NoReturn:
    """Become the executor of one assignment; never returns."""
    code = CRASHED
    try:
        try:
            _become(assignment, answers)
            order = read_order(assignment.folder, Order)
            isolation.enter(order, assignment.folder, assignment.gpus)
            code = main(assignment, order)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else CRASHED
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    finally:  # a SIGTERM that came in between has been raised for the last time
        _last_words(sys.exc_info()[1])
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _last_words(problem: BaseException | None) -> None:
    """Why there is no executor, where the Node Manager looks for it: nothing else is left to tell it."""
    if problem is not None and not isinstance(problem, SystemExit):
        with suppress(OSError):
            os.write(2, "".join(traceback.format_exception(problem)).encode(errors="replace"))


def _become(assignment: Assignment, answers: socket) -> None:
    os.setsid()
    become_subreaper()
    for door in assignment.groups:
        door.write_text(_MYSELF)
    os.umask(PRIVATE)
    _own_signals()
    os.chdir(assignment.folder)
    _own_files()
    if Path(EXIT).exists():  # a Node Manager that came back has given this one up
        raise SystemExit(CRASHED)
    me = ProcessId.of(os.getpid())
    if me is not None:
        _record(assignment, me, answers)
        with suppress(OSError):
            answers.send(started_answer(assignment.number, me))
    answers.detach()
    os.closerange(3, ALL_FILES)
    _limit()
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, assignment.gpus))
    random.seed()


def _record(assignment: Assignment, me: ProcessId, answers: socket) -> None:
    try:
        record_process(assignment.folder, me)
    except (PlatformError, OSError) as problem:  # nobody could find this process again
        with suppress(OSError):
            answers.send(failed_answer(assignment.number, str(problem)))
        raise


def _own_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _end)
    sys.unraisablehook = _end_all_the_same
    _let_forks_end()


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(STOPPED)


def _end_all_the_same(dropped: sys.UnraisableHookArgs) -> None:
    """Raise a stop again, in a moment, that Python dropped: it came in a destructor or a callback of the collector."""
    if isinstance(dropped.exc_value, SystemExit) and dropped.exc_value.code == STOPPED:
        signal.setitimer(signal.ITIMER_REAL, _SOON_S)
    else:
        sys.__unraisablehook__(dropped)


def _let_forks_end() -> None:
    """Let SIGTERM end what a component forks, from its first instant on; Python forgets one that a handler noted.

    Not by hooks of the interpreter: what the executor's own handler raises in one of those is lost.
    """
    plain_fork = os.fork

    def fork() -> int:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            child = plain_fork()
            if not child:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            return child
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    os.fork = fork


def _own_files() -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for name, target in ((STDOUT, 1), (STDERR, 2)):
        handle = os.open(name, flags, 0o600)
        os.dup2(handle, target)
        os.close(handle)
    handle = os.open(os.devnull, os.O_RDONLY)
    os.dup2(handle, 0)
    os.close(handle)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
