"""Why an executor has ended, in words."""

from __future__ import annotations

import signal

import pytest

from node_manager.events import EventKind, checked
from node_manager.last_event import Cause, Overrun, lost_body


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


@pytest.mark.parametrize(
    ("cause", "overrun", "says"),
    [
        (Cause.MEMORY, Overrun(1288490189, 1 << 30), "more memory than its order allows: used 1.2 GiB of 1.0 GiB."),
        (Cause.PROCESSES, Overrun(65, 64), "more processes than an executor may: 65 of 64 processes."),
        (Cause.DISK, Overrun(3 << 20, 2 << 20), "larger than it may: used 3.0 MiB of 2.0 MiB."),
    ],
)
def test_who_used_too_much_is_told_how_much_of_how_much(cause, overrun, says):
    body = lost_body(signal.SIGKILL, cause, overrun)
    assert str(body["text"]).endswith(says)
    assert (body["used"], body["limit"]) == overrun
    assert checked(EventKind.LOST, body) == body


def test_an_end_of_another_cause_has_no_such_numbers():
    assert "used" not in lost_body(signal.SIGTERM, Cause.STOPPED, Overrun(2, 1))


def test_a_signal_without_a_name_is_told_by_number():
    assert "signal 63" in str(lost_body(63, None)["text"])
