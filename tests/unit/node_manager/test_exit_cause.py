"""Why an executor has ended, in words."""

from __future__ import annotations

import signal

import pytest

from node_manager.last_event import Cause, lost_body


@pytest.mark.parametrize(
    ("status", "decided", "oom", "cause", "more"),
    [
        (3 << 8, None, False, "exit", {"exit_code": 3}),
        (0, None, False, "exit", {"exit_code": 0}),
        (signal.SIGKILL, None, False, "signal", {"signal": 9}),
        (signal.SIGKILL, None, True, "memory", {"signal": 9}),
        (signal.SIGSEGV, None, True, "signal", {"signal": 11}),
        (signal.SIGKILL, Cause.MEMORY, False, "memory", {"signal": 9}),
        (143 << 8, Cause.STOPPED, False, "stopped", {"exit_code": 143}),
        (None, None, False, "unknown", {}),
        (None, Cause.NOT_STARTED, False, "not-started", {}),
    ],
)
def test_each_end_has_one_cause(status, decided, oom, cause, more):
    body = lost_body(status, decided, kernel_oom=oom)
    assert body.pop("cause") == cause
    assert str(body.pop("text")).endswith(".")
    assert body == more


def test_a_signal_without_a_name_is_told_by_number():
    assert "signal 63" in str(lost_body(63, None)["text"])
