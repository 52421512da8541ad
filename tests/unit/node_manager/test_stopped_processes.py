"""A process that a signal has stopped is told from one that runs or is gone."""

from __future__ import annotations

import os
import signal
import subprocess

from node_manager.process import ProcessId, is_stopped


def test_a_stopped_process_is_told_from_one_that_runs_or_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        known = ProcessId.of(process.pid)
        assert known is not None
        assert not known.stopped()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert known.stopped()
        assert is_stopped(process.pid)
        assert not ProcessId(process.pid, known.start_ticks + 1).stopped()  # another process of that number
        process.kill()
    assert not known.stopped()
