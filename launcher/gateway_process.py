"""The gateway as a process of its own beside the other rooms: begun early, watched, and started again when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from party.home import PartyHome
from runtime import processes
from runtime.error_kinds import root_of_exit
from runtime.errors import InvalidInput, PlatformError, Unavailable
from runtime.log import get_logger

READY_S = 60.0
END_S = 15.0  # longer than it takes in order
LEFT_OVER_END_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
STEADY_S = 30.0  # one that ran so long is started again without a pause
_log = get_logger("launcher")


class GatewayRefused(InvalidInput):
    """The gateway refuses to run with this home as it is."""

    code = "launcher.gateway_refused"


class GatewayNotStarted(Unavailable):
    """The gateway did not come up."""

    code = "launcher.gateway_not_started"


class GatewayProcess:
    """See the module. A Service; `begin` may be called before `start`, so that its imports go on beside others'."""

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._noted = home.process_file("gateway")
        self._said = home.log_file("gateway").with_suffix(".err")
        self._begun: processes.Starting | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="launcher-gateway", daemon=True)

    def begin(self) -> None:
        """Start it, after the end of one that an earlier launcher has left."""
        left = processes.noted(self._noted)
        if left is not None:
            processes.end(left, LEFT_OVER_END_S)
        # The gateway holds the reading end: when this process is gone, however it went, it stops by itself.
        reading, self._lifeline = os.pipe()
        try:
            command = [sys.executable, "-P", "-m", "gateway", "--home", str(self._home.root)]
            self._begun = processes.Starting([*command, "--parent-fd", str(reading)], self._said, [reading])
        finally:
            os.close(reading)
        self._process = self._begun.process
        processes.note(self._noted, self._process.pid)

    def start(self) -> None:
        """Wait until it is ready. Raises GatewayRefused or GatewayNotStarted with its own words."""
        self._home.process_file("gateway-death").unlink(missing_ok=True)
        if self._begun is None:
            self.begin()
        self._wait()
        self._watch.start()

    def stop(self, grace_s: float) -> None:
        """Stop it in order."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(grace_s + END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._watch.ident is not None:
            self._watch.join(END_S)
        self._let_go()
        self._noted.unlink(missing_ok=True)

    def _wait(self) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            return
        try:
            begun.wait(READY_S, END_S)
        except processes.Ended as ended:
            words = processes.last_words(ended.words, "gateway") or f"it ended with {ended.exit_code}"
            refused = ended.in_time and root_of_exit(ended.exit_code) not in (PlatformError, Unavailable)
            kind = GatewayRefused if refused else GatewayNotStarted
            raise kind(f"The gateway did not start: {words}", hint="See the gateway's log.") from None

    def _keep(self) -> None:
        """Start it again whenever it dies; a pause grows while it dies at once."""
        pause_s = FIRST_PAUSE_S
        while self._process is not None:
            since = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - since > STEADY_S else min(pause_s * 2, LONGEST_PAUSE_S)
            self._tell_of_death(code)
            self._let_go()
            if self._stopping.wait(pause_s):
                return
            try:
                self.begin()
                self._wait()
            except (OSError, Unavailable, InvalidInput) as problem:
                _log.error("The gateway did not come back; it is tried again", reason=str(problem))
            if self._stopping.is_set() and self._process.poll() is None:
                self._process.terminate()

    def _tell_of_death(self, code: int) -> None:
        """In the log, and where the state of the party finds it; what it printed stays beside its log."""
        words = processes.last_words(processes.printed(self._said), "gateway")
        died = processes.Death(round(time.time() * 1000), processes.how(code), words)
        _log.error("The gateway died and is started again", how=died.how, last_words=words)
        try:
            self._said.replace(self._said.with_suffix(".died.err"))
            died.keep(self._home.process_file("gateway-death"))
        except (OSError, Unavailable) as problem:
            _log.warning("How the gateway died cannot be kept", reason=str(problem))

    def _let_go(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)
