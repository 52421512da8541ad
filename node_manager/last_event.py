"""What is told last of an executor that did not succeed: how it failed, or why it ended without a word. Pure."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from typing import NamedTuple

from runtime.disk.faults import fault_of
from runtime.errors import PlatformError
from runtime.text import size

CRASH_CODE = "executor.crashed"
CRASH_HINT = "The people of its own party see the traceback: flow job logs JOB."


class Cause(StrEnum):
    """The closed list of causes in the body of a LOST event."""

    EXIT = "exit"  # it ended by itself without a last word
    SIGNAL = "signal"  # somebody or something killed it
    MEMORY = "memory"  # it outgrew its order and was killed
    PROCESSES = "processes"  # it, and what it started, were too many and were killed
    DISK = "disk"  # its working folder became too large and it was killed
    STOPPED = "stopped"  # it was told to stop
    NOT_STARTED = "not-started"  # the order was taken, but no process was made
    UNKNOWN = "unknown"  # it ended while nobody watched


class Overrun(NamedTuple):
    """How much of something was used, and how much of it was allowed: bytes, or processes."""

    used: int
    limit: int


def overrun_text(cause: str, used: int, limit: int) -> str:
    """`used 1.2 GiB of 1.0 GiB`, for the cause of a loss."""
    if cause == Cause.PROCESSES:
        return f"{used} of {limit} processes"
    return f"used {size(used)} of {size(limit)}"


def failure_body(error: BaseException, address: str) -> dict[str, object]:
    """The body of a FAILED event: a code, a sentence, what to do.

    Of an error that has no name, the type alone: its words may quote data.
    """
    named = error if isinstance(error, PlatformError) else fault_of(error)
    if named is None:
        text = f"The executor of {address} crashed with {type(error).__name__}."
        return {"code": CRASH_CODE, "message": text, "hint": CRASH_HINT}
    body: dict[str, object] = {"code": named.code, "message": named.message, "hint": named.hint}
    return body | ({"alike": named.alike} if named.alike else {})


def lost_body(
    status: int | None, decided: Cause | None, overrun: Overrun | None = None, *, kernel_oom: bool = False
) -> dict[str, object]:
    """The body of a LOST event.

    Args:
        status: What `waitpid` returned, or None where nobody saw the end.
        decided: What the Node Manager itself did to the process, if anything.
        overrun: What it had used too much of, where that is why.
        kernel_oom: Whether the kernel killed something for memory while the executor ran.
    """
    body: dict[str, object] = {}
    text = "It ended while nobody watched."
    cause = decided or Cause.UNKNOWN
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        body["signal"] = number
        text = f"Killed by signal {number} ({_signal_name(number)})."
        if decided is None:
            out_of_memory = kernel_oom and number == signal.SIGKILL
            cause = Cause.MEMORY if out_of_memory else Cause.SIGNAL
    elif status is not None:
        code = os.waitstatus_to_exitcode(status)
        body["exit_code"] = code
        text = f"Ended with exit code {code} and no last word."
        cause = decided or Cause.EXIT
    if overrun is not None and cause in OVERRUNS:
        body |= overrun._asdict()
        text = f"{OVERRUNS[cause]}: {overrun_text(cause, *overrun)}."
    elif cause in OVERRUNS:
        text = f"{OVERRUNS[cause]}."
    return {"cause": cause.value, "text": _SAID.get(cause, text), **body}


OVERRUNS = {
    Cause.MEMORY: "Killed because it used more memory than its order allows",
    Cause.PROCESSES: "Killed because it had started more processes than an executor may",
    Cause.DISK: "Killed because its working folder had become larger than it may",
}


_SAID = {
    Cause.STOPPED: "Stopped by order.",
    Cause.NOT_STARTED: "The order was taken, but no process was made.",
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
