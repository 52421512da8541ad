"""The launcher as a process of its own: started, found again, and stopped by its pid and start time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import psutil

from party.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable
from party.files import keep_private, write_whole
from party.home import AlreadyRunning, PartyHome

START_S = 90.0
STOP_S = 60.0  # longer than its rooms take together: killed, it would leave executors behind
LOOK_EVERY_S = 0.05
PID_FILE = "launcher.json"


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


_BY_CODE: dict[int, type[PlatformError]] = {2: StartRefused, 3: StartMissing, 4: StartDenied, 5: StartConflict}


def run_here(home: PartyHome) -> None:
    """Become the launcher; does not return."""
    _refuse_second(home)
    _note(home, os.getpid())
    sys.stdout.flush()
    os.execv(sys.executable, _command(home))  # noqa: S606 - our own Python, no shell


def start(home: PartyHome) -> int:
    """Start the launcher in the background; its pid, once all services are ready.

    Raises:
        AlreadyRunning: It runs already.
        StartFailed, StartRefused, ...: It ended instead; the message is its own.
    """
    _refuse_second(home)
    said = home.root / "logs" / "launcher.err"
    keep_private(said)
    readable, writable = os.pipe()
    try:
        with said.open("wb") as err:
            process = subprocess.Popen(
                [*_command(home), "--ready-fd", str(writable)],
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                pass_fds=(writable,),
                start_new_session=True,
            )
    finally:
        os.close(writable)
    with os.fdopen(readable, "rb", buffering=0) as pipe:
        ready, _, _ = select.select([pipe], [], [], START_S)
        answer = pipe.read(16) if ready else None
    if not answer:
        _give_up(process, said, in_time=answer is not None)
    _note(home, process.pid)
    process.returncode = 0  # it is meant to outlive this command
    return process.pid


def stop(home: PartyHome) -> bool:
    """Stop the launcher, whichever way it was started; False if none runs."""
    process = _running(home)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            if not _ends(process):
                process.kill()
                _ends(process)
    _pid_file(home).unlink(missing_ok=True)
    return process is not None


def _ends(process: psutil.Process) -> bool:
    """Wait for its end; one that nobody reaps, as in a container whose first process does not, has ended too."""
    deadline = time.monotonic() + STOP_S
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _command(home: PartyHome) -> list[str]:
    return [sys.executable, "-P", "-m", "launcher", "--home", str(home.root)]


def _pid_file(home: PartyHome) -> Path:
    return home.run_dir / PID_FILE


def _note(home: PartyHome, pid: int) -> None:
    """Write who the launcher is; a process keeps its pid and start time when it becomes the launcher."""
    started = psutil.Process(pid).create_time()
    write_whole(_pid_file(home), json.dumps({"pid": pid, "started": started}).encode())


def _running(home: PartyHome) -> psutil.Process | None:
    """The launcher that the pid file names, unless the pid belongs to another process by now."""
    try:
        known = json.loads(_pid_file(home).read_bytes())
        process = psutil.Process(int(known["pid"]))
        same = abs(process.create_time() - float(known["started"])) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None


def _refuse_second(home: PartyHome) -> None:
    process = _running(home)
    if process is not None:
        raise AlreadyRunning(f"{home.party} runs already (pid {process.pid}).", hint="Stop it with 'flow party down'.")


def _give_up(process: subprocess.Popen[bytes], said: Path, *, in_time: bool) -> None:
    if not in_time:
        process.terminate()
    try:
        code = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    reason = last_words(said.read_text(errors="replace")) or f"it ended with {code}"
    kind = _BY_CODE.get(code, StartFailed) if in_time else StartFailed
    raise kind(f"The services did not start: {reason}", hint=f"See the logs in {said.parent}.")


def last_words(text: str) -> str:
    """Why a process ended, by what it wrote: its own error, else a C++ library's failed check, else the last line."""
    lines = text.strip().splitlines()
    for mark in ("launcher: ", "Check failed"):
        for line in lines:
            if mark in line:
                return line.removeprefix("launcher: ")
    return lines[-1] if lines else ""
