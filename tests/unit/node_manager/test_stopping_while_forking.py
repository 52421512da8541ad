"""An executor that is stopped is stopped, in whichever instant the signal comes."""

from __future__ import annotations

import gc
import os
import random
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from node_manager.executor.child_setup import _own_signals

STOPPED = 128 + signal.SIGTERM


def _forked(work: Callable[[], NoReturn]) -> int:
    """A process that does the work with the signals of an executor; it has begun when this returns."""
    reading, writing = os.pipe()
    executor = os.fork()
    if not executor:
        code = 0
        try:
            _own_signals()
            os.write(writing, b".")
            work()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return executor


def _code_of(executor: int) -> int | None:
    """What it ended with; none if it was still there after some seconds."""
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(executor, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.005)
    if ended == (0, 0):
        os.kill(executor, signal.SIGKILL)
        os.waitpid(executor, 0)
        return None
    return os.waitstatus_to_exitcode(ended[1])


def _forks_for_ever() -> NoReturn:
    while True:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


def test_a_stop_is_not_lost_between_two_forks() -> None:
    draw = random.Random(1)
    for _ in range(20):
        executor = _forked(_forks_for_ever)
        time.sleep(draw.random() / 100)
        os.kill(executor, signal.SIGTERM)
        assert _code_of(executor) == STOPPED


class _StopsWhileItGoes:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def _is_stopped_in_a_destructor() -> NoReturn:
    _StopsWhileItGoes()
    while True:
        time.sleep(1)


def _is_stopped_in_a_callback_of_the_collector() -> NoReturn:
    gc.callbacks.append(lambda phase, _info: os.kill(os.getpid(), signal.SIGTERM) if phase == "start" else None)
    gc.collect()
    gc.callbacks.clear()
    while True:
        time.sleep(1)


def test_a_stop_is_not_lost_where_the_interpreter_drops_what_is_raised() -> None:
    assert _code_of(_forked(_is_stopped_in_a_destructor)) == STOPPED
    assert _code_of(_forked(_is_stopped_in_a_callback_of_the_collector)) == STOPPED
