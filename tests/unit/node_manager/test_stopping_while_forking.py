"""An executor that is stopped while it forks is stopped, in whichever instant the signal comes."""

from __future__ import annotations

import os
import random
import signal
import time

from node_manager.executor.child_setup import _own_signals


def _forks_for_ever(ready: int) -> None:
    _own_signals()
    os.write(ready, b".")
    while True:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


def test_a_stop_is_not_lost_between_two_forks() -> None:
    draw = random.Random(1)
    for _ in range(20):
        reading, writing = os.pipe()
        executor = os.fork()
        if not executor:
            code = 0
            try:
                _forks_for_ever(writing)
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                os._exit(code)
        os.read(reading, 1)
        time.sleep(draw.random() / 100)
        os.kill(executor, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while (ended := os.waitpid(executor, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.005)
        if ended == (0, 0):
            os.kill(executor, signal.SIGKILL)
            os.waitpid(executor, 0)
        os.close(reading)
        os.close(writing)
        assert os.waitstatus_to_exitcode(ended[1]) == 128 + signal.SIGTERM, ended
