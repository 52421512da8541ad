"""An executor's event log: one line appended per event, then a datagram to wake the Node Manager.

The file is the truth; the doorbell only saves waiting. A ring that nobody hears is lost without harm. Whoever writes a
line waits where the disk has no room for what may wait; last words and what insists need only room for themselves.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from node_manager.allowance import LineAllowance
from node_manager.events import FINAL, EventKind, ExecutorEvent, plain, shortened
from node_manager.folders import EVENTS, ExecutorKey
from runtime.disk.room import once_there_is_room, require_room

_TENTHS, _THOUSANDTHS = 10, 1_000


class EventLog:
    """The `events` of a context, and the executor's own words. Safe to use from several threads."""

    def __init__(self, folder: Path, key: ExecutorKey, doorbell: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._sequence = 0
        self._tenth: tuple[str, int, int] | None = None
        self._thousandth: tuple[str, int, int] | None = None
        self._allowance = LineAllowance()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._path = folder / EVENTS
        self._file = os.open(self._path, flags, 0o600)
        self._doorbell = doorbell

    def metric(self, name: str, step: int, value: float) -> None:
        """One number of one round."""
        self.write(EventKind.METRIC, name=name, step=step, value=value)

    def progress(self, done: int, total: int, what: str) -> None:
        """How far the role function is, at every thousandth of the way; a line for people at every tenth."""
        thousandth = (what, total, _THOUSANDTHS * done // total if total > 0 else done)
        if thousandth != self._thousandth:
            self._thousandth = thousandth
            self.write(EventKind.PROGRESS, done=done, total=total, what=what)
        tenth = (what, total, _TENTHS * done // total if total > 0 else 0)
        if tenth != self._tenth:
            self._tenth = tenth
            self.log("info", f"{what}: {done} of {total}")

    def log(self, level: str, text: str, *, insist: bool = False, ring_too: bool = True) -> None:
        """One line for people, or several of one matter.

        Unless we insist it is left out where there are too many, and waits where the disk is full.
        Without `ring_too` it is read with the event that follows at once.
        """
        text = shortened(text)
        size = len(text.encode(errors="replace"))
        with self._lock:
            left_out = 0 if insist else self._allowance.take(size, time.monotonic())
        if left_out:
            self._tell(left_out)
        if left_out is not None:
            if not insist:
                self._wait_for_room()
            self._append(EventKind.LOG, level=level, text=text)
            if ring_too:
                ring(self._doorbell, self._key.folder)

    def tell_left_out(self) -> None:
        """Say how many lines were left out since the last one."""
        with self._lock:
            left_out = self._allowance.left_out()
        if left_out:
            self._tell(left_out)

    def _tell(self, left_out: int) -> None:
        self.write(EventKind.LOG, level="warning", text=f"… {left_out} lines left out")

    def write(self, kind: EventKind, /, **body: object) -> None:
        """Append one event and ring; all but last words wait where the disk is full."""
        if kind not in FINAL:
            self._wait_for_room()
        self._append(kind, **body)
        ring(self._doorbell, self._key.folder)

    def _wait_for_room(self) -> None:
        """Before the lock is taken, so that last words pass those who wait."""
        once_there_is_room(partial(require_room, self._path))

    def _append(self, kind: EventKind, /, **body: object) -> None:
        with self._lock:
            self._sequence += 1
            event = ExecutorEvent(
                schema=1,
                job=self._key.job,
                task=self._key.task,
                attempt=self._key.attempt,
                address=self._key.address,
                incarnation=self._key.incarnation,
                sequence=self._sequence,
                at_ms=time.time_ns() // 1_000_000,
                kind=kind,
                body={name: plain(value) for name, value in body.items()},
            )
            _write_all(self._file, event.document() + b"\n")

    def close(self) -> None:
        """No more events."""
        os.close(self._file)


def _write_all(file: int, line: bytes) -> None:
    """Append a line; what a full disk took of it is followed by the rest."""
    left = memoryview(line)
    while left:
        left = left[once_there_is_room(partial(os.write, file, left)) :]


def ring(doorbell: str, folder: str) -> None:
    """Tell the Node Manager, if it listens, that something is new in `folder`."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
        bell.sendto(folder.encode(), doorbell)
