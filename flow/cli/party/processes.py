"""The launcher as a process of its own: started, found again, and stopped by its pid and start time."""

from __future__ import annotations

import os
import sys
import time
from typing import IO

import psutil

from party.errors import AlreadyRunning
from party.home import PartyHome
from runtime import processes
from runtime.disk.faults import refuse_unwritable
from runtime.disk.files import keep_private
from runtime.error_kinds import root_of_exit
from runtime.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable

START_S = 90.0
STOP_S = 60.0  # longer than its rooms take together: killed, it would leave executors behind
GATEWAY_STOP_S = 5.0


class StartRefused(InvalidInput):
    """The services refuse to run with this home as it is."""

    code = "flow.start_refused"


class StartMissing(NotFound):
    """Something the services need is not there."""

    code = "flow.start_missing"


class StartConflict(Conflict):
    """The services run already, in another way."""

    code = "flow.start_conflict"


class StartDenied(Denied):
    """The services may not use this home."""

    code = "flow.start_denied"


class StartFailed(Unavailable):
    """The services did not come up."""

    code = "flow.start_failed"


_NOT_STARTED: dict[type[PlatformError], type[PlatformError]] = {
    InvalidInput: StartRefused,
    NotFound: StartMissing,
    Denied: StartDenied,
    Conflict: StartConflict,
}


def run_here(home: PartyHome) -> None:
    """Become the launcher; does not return."""
    _refuse_second(home)
    refuse_unwritable(home.root)
    processes.note(home.process_file("launcher"), os.getpid())
    sys.stdout.flush()
    os.execv(sys.executable, _command(home))  # noqa: S606 - our own Python, no shell


def start(home: PartyHome) -> int:
    """Start the launcher in the background; its pid, once all services are ready.

    Raises:
        AlreadyRunning: It runs already, or is just being started.
        DiskFull, FileFault: The home cannot be written.
        StartFailed, StartRefused, ...: It ended instead; the message is its own.
    """
    with _alone(home):
        return _start(home)


def _start(home: PartyHome) -> int:
    _refuse_second(home)
    refuse_unwritable(home.root)
    said = home.root / "logs" / "launcher.err"
    keep_private(said)
    begun = processes.Starting(_command(home), said)
    try:
        begun.wait(START_S, STOP_S)
    except processes.Ended as ended:
        if not ended.words:  # a full disk does not take them
            refuse_unwritable(home.root)
        reason = processes.last_words(ended.words, "launcher") or f"it ended with {ended.exit_code}"
        kind = _NOT_STARTED.get(root_of_exit(ended.exit_code), StartFailed) if ended.in_time else StartFailed
        raise kind(f"The services did not start: {reason}", hint=f"See the logs in {said.parent}.") from None
    begun.process.returncode = 0  # it is meant to outlive this command
    return begun.process.pid


def stop(home: PartyHome) -> bool:
    """Stop the launcher, whichever way it was started; False if none runs and none is just being started."""
    until = time.monotonic() + START_S
    while (process := _running(home)) is None and _is_starting(home) and time.monotonic() < until:
        time.sleep(processes.LOOK_EVERY_S)
    if process is not None:
        processes.end(process, STOP_S)
    return process is not None


def end_what_is_left(home: PartyHome) -> int:
    """End what a launcher that died has left: its gateway and executors; how many processes there were.

    Nothing is done while a launcher runs, also one that is just starting: then they are its own.
    """
    from node_manager.client import end_left_over

    try:
        with home.lock("launcher"):
            gateways = _end_gateway(home)
    except AlreadyRunning:
        return 0
    return gateways + end_left_over(home)


def _end_gateway(home: PartyHome) -> int:
    gateway = processes.noted(home.process_file("gateway"))
    if gateway is not None:
        processes.end(gateway, GATEWAY_STOP_S)
    for room in ("gateway", "launcher"):
        home.process_file(room).unlink(missing_ok=True)
    return int(gateway is not None)


def _command(home: PartyHome) -> list[str]:
    return [sys.executable, "-P", "-m", "launcher", "--home", str(home.root)]


def _running(home: PartyHome) -> psutil.Process | None:
    """The launcher, which notes who it is as soon as it holds its lock."""
    return processes.noted(home.process_file("launcher"))


def _alone(home: PartyHome) -> IO[bytes]:
    """Held while a launcher is started: from before it exists until it is ready. Raises AlreadyRunning."""
    try:
        return home.lock("start")
    except AlreadyRunning:
        raise AlreadyRunning(
            f"{home.party} is just being started by another command.", hint="See: flow party status"
        ) from None


def _is_starting(home: PartyHome) -> bool:
    try:
        _alone(home).close()
    except AlreadyRunning:
        return True
    return False


def _refuse_second(home: PartyHome) -> None:
    process = _running(home)
    if process is not None:
        raise AlreadyRunning(f"{home.party} runs already (pid {process.pid}).", hint="Stop it with 'flow party down'.")
