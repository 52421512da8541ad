from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from runtime.errors import PlatformError, PortInUse
from runtime.service import run_until_stopped


class Recorder:
    """A service that remembers what was asked of it."""

    def __init__(self, *, fails: PlatformError | None = None, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.calls: list[str] = []
        self._fails = fails
        self._meanwhile = meanwhile

    def start(self) -> None:
        self.calls.append("start")
        self._meanwhile()
        if self._fails:
            raise self._fails

    def stop(self, grace_s: float) -> None:
        self.calls.append(f"stop {grace_s}")


def test_a_service_is_started_said_ready_and_stopped_when_asked() -> None:
    read, write = os.pipe()
    service, (parent, parents_end) = Recorder(), os.pipe()
    os.close(parents_end)
    before = signal.getsignal(signal.SIGTERM)
    run_until_stopped(service, "gateway", ready_fd=write, parent_fd=parent)
    os.close(parent)
    assert service.calls == ["start", "stop 10.0"]
    assert os.read(read, 10) == b"ready\n"
    assert os.read(read, 10) == b""
    os.close(read)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_stops_the_service() -> None:
    service = Recorder(meanwhile=lambda: threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start())
    run_until_stopped(service, "gateway")
    assert service.calls == ["start", "stop 10.0"]


def test_a_signal_that_comes_before_the_wait_stops_the_service() -> None:
    service = Recorder(meanwhile=lambda: signal.raise_signal(signal.SIGTERM))
    run_until_stopped(service, "gateway")
    assert service.calls == ["start", "stop 10.0"]


def test_a_signal_that_another_thread_takes_stops_the_service() -> None:
    def take() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    service = Recorder(meanwhile=lambda: threading.Timer(0.1, take).start())
    run_until_stopped(service, "gateway")
    assert service.calls == ["start", "stop 10.0"]


def test_a_service_that_cannot_start_is_stopped_and_its_error_passed_on() -> None:
    service = Recorder(fails=PortInUse("taken"))
    with pytest.raises(PortInUse, match="taken"):
        run_until_stopped(service, "gateway")
    assert service.calls == ["start", "stop 10.0"]


SERVED = """
import signal, sys
from runtime.service import run_until_stopped
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have it ignored
class Service:
    def start(self): pass
    def stop(self, grace_s): print("stopped", flush=True)
run_until_stopped(Service(), "gateway", ready_fd=int(sys.argv[1]))
"""


@pytest.mark.parametrize("leads", [True, False])
def test_a_closed_terminal_stops_the_service_and_a_signal_without_one_does_nothing(leads: bool) -> None:
    read, write = os.pipe()
    service = subprocess.Popen(
        [sys.executable, "-c", SERVED, str(write)], stdout=subprocess.PIPE, pass_fds=[write], start_new_session=leads
    )
    os.close(write)
    with os.fdopen(read) as ready:
        assert ready.read() == "ready\n"
    service.send_signal(signal.SIGHUP)
    if leads:
        with pytest.raises(subprocess.TimeoutExpired):
            service.wait(1)
        service.send_signal(signal.SIGTERM)
    assert service.communicate(timeout=30)[0].splitlines()[-1] == b"stopped"
    assert service.returncode == 0
