"""Services as processes of their own: started until they are ready, known by pid and start time, and ended.

A process is never found by its name: whoever starts one notes who it is in a file, and only that very process is meant.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from runtime.clock import moment
from runtime.disk.faults import refusals
from runtime.disk.files import write_whole
from runtime.text import printable

LOOK_EVERY_S = 0.05
SAME_START_S = 1.0  # the system's clock ticks may be read a little differently
MAX_WORDS_BYTES = 64 << 10
MAX_REASON_CHARS = 500


class Ended(Exception):
    """A service ended, or was given up, before it was ready.

    Attributes:
        exit_code: With what it ended.
        words: What it had printed.
        in_time: Whether it ended by itself.
    """

    def __init__(self, exit_code: int, words: str, *, in_time: bool) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
        self.words = words
        self.in_time = in_time


class Starting:
    """A service that was begun and is not ready yet.

    Args:
        command: What to run; `--ready-fd N` is added.
        said: The file that takes what it prints.
        pass_fds: Descriptors that it keeps.
    """

    def __init__(self, command: Sequence[str], said: Path, pass_fds: Sequence[int] = ()) -> None:
        self._said = said
        readable, writable = os.pipe()
        self._ready = os.fdopen(readable, "rb", buffering=0)
        try:
            with refusals(said):
                opened = said.open("wb")
            with opened as printed:
                self.process = subprocess.Popen(
                    [*command, "--ready-fd", str(writable)],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=printed,
                    pass_fds=(writable, *pass_fds),
                    start_new_session=True,
                )
        finally:
            os.close(writable)

    def wait(self, ready_s: float, stop_s: float) -> None:
        """Return when it is ready. Raises Ended, and then it does not run, if it ends or takes longer."""
        with self._ready as pipe:
            ready, _, _ = select.select([pipe], [], [], ready_s)
            answer = pipe.read(16) if ready else None
        if answer:
            return
        in_time = answer is not None
        if not in_time:
            self.process.terminate()
        try:
            code = self.process.wait(stop_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        raise Ended(code, printed(self._said), in_time=in_time)


def printed(said: Path) -> str:
    """The end of what a process has printed into the file."""
    with contextlib.suppress(OSError), said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - MAX_WORDS_BYTES))
        return file.read(MAX_WORDS_BYTES).decode(errors="replace")
    return ""


def last_words(text: str, room: str) -> str:
    """Why a process ended, by what it wrote: its own error, else what native code said, else the last line."""
    lines = [printable(line) for line in text.strip().splitlines()]
    for mark in (f"{room}: ", "Check failed", "Fatal Python error"):
        for line in lines:
            if mark in line:
                return line.removeprefix(f"{room}: ")[:MAX_REASON_CHARS]
    return lines[-1][:MAX_REASON_CHARS] if lines else ""


def how(exit_code: int) -> str:
    """How a process ended, by its exit code as `subprocess` gives it."""
    if exit_code >= 0:
        return f"ended with {exit_code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"was ended by signal {-exit_code}"


@dataclass(frozen=True)
class Death:
    """That a process of ours died and was started again: when (ms since 1970), how, and its last words."""

    at_ms: int
    how: str
    words: str

    def __str__(self) -> str:
        when = moment(self.at_ms)
        at = f" at {when:%Y-%m-%d %H:%M:%S} UTC" if when else ""
        return f"It {self.how}{at} and was started again{f': {self.words}' if self.words else ''}"

    def keep(self, path: Path) -> None:
        """Write it down for `death`."""
        write_whole(path, json.dumps(vars(self)).encode())


def death(path: Path) -> Death | None:
    """What `Death.keep` wrote down, if that can be read."""
    try:
        known = json.loads(path.read_bytes())
        return Death(int(known["at_ms"]), str(known["how"]), str(known["words"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note(path: Path, pid: int) -> None:
    """Write down who the process is; it keeps its pid and start time when it executes another program."""
    started = psutil.Process(pid).create_time()
    write_whole(path, json.dumps({"pid": pid, "started": started}).encode())


def noted(path: Path) -> psutil.Process | None:
    """The process that the file names, unless it has ended or the pid belongs to another by now."""
    try:
        known = json.loads(path.read_bytes())
        process = psutil.Process(int(known["pid"]))
        same = abs(process.create_time() - float(known["started"])) < SAME_START_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def end(process: psutil.Process, grace_s: float) -> None:
    """Ask it to stop, and kill it after `grace_s`."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        if not _ends(process, grace_s):
            process.kill()
            _ends(process, grace_s)


def _ends(process: psutil.Process, grace_s: float) -> bool:
    """Wait for its end; one that nobody reaps, as in a container whose first process does not, has ended too."""
    deadline = time.monotonic() + grace_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
