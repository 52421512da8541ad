"""What every service has in common: it starts, is ready when `start` returns, and stops.

The main thread of its process waits for what stops it: SIGTERM or SIGINT, a closed terminal, the end of the process
that started it; a second signal ends it at once.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket, socketpair
from types import FrameType
from typing import Protocol

from runtime import log

STOP_GRACE_S = 10.0
MAX_DESCRIPTORS = 1 << 20  # where the system names no limit


class Service(Protocol):
    """One service of a party, inside one process."""

    def start(self) -> None:
        """Begin to serve; ready when it returns. Raises a PlatformError such as PortInUse, then nothing runs."""

    def stop(self, grace_s: float) -> None:
        """Finish what is held, give up after `grace_s`, and release everything. May be called twice."""


def run_until_stopped(
    service: Service, room: str, *, ready_fd: int | None = None, parent_fd: int | None = None
) -> None:
    """Start the service, wait for a signal or the end of the pipe `parent_fd`, stop it. For the main thread."""
    logger = log.get_logger(room)
    with _stop_signals() as signals, selectors.DefaultSelector() as stopping:
        stopping.register(signals, selectors.EVENT_READ)
        if parent_fd is not None:
            stopping.register(parent_fd, selectors.EVENT_READ)
        try:
            service.start()
            logger.info("Ready", pid=os.getpid())
            _say_ready(ready_fd)
            came = stopping.select()
            logger.info("Stopping", signal=_name_of(signals) if came[0][0].fileobj is signals else "")
        finally:
            service.stop(STOP_GRACE_S)
    logger.info("Stopped")


@contextmanager
def _stop_signals() -> Iterator[socket]:
    """What can be read once a signal to stop has come, whenever and to whichever thread; the next one ends us.

    No service handles another signal: that could be read, too. SIGHUP says that our terminal was closed; who leads a
    session has none of others, and there is nothing to read again, so there it is ignored, as under nohup.
    To wait for a lock until a signal interrupts that would miss one that comes just before, or to another thread.
    """
    reading, writing = socketpair()
    writing.setblocking(False)
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    stops = [number for number in previous if number is not signal.SIGHUP or _has_terminal()]

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        for known in stops:
            signal.signal(known, signal.SIG_DFL)

    woken_before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    try:
        for number in previous:
            signal.signal(number, on_signal if number in stops else signal.SIG_IGN)
        yield reading
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        reading.close()
        writing.close()


def _has_terminal() -> bool:
    return os.getsid(0) != os.getpid() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def _name_of(signals: socket) -> str:
    return signal.Signals(signals.recv(1)[0]).name


def raise_descriptor_limit() -> None:
    """Let this process open as many files and connections as the system allows it to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _say_ready(ready_fd: int | None) -> None:
    if ready_fd is not None:
        with os.fdopen(ready_fd, "wb") as pipe:
            pipe.write(b"ready\n")
