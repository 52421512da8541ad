"""The one thread that watches: the warm parent's answers, the doorbell, the ends of processes, the memory they use.

Everything that changes what is known of an executor happens on this thread, so that an end is recorded once. It waits
for events; a slow tick is the safety net under them. What executors tell is read by who follows their logs.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress

from node_manager.descent import Home, abandoned, confined, end_left_behind
from node_manager.errors import ForkFailed
from node_manager.events import EventKind, ExecutorEvent, checked
from node_manager.folders import END, EXIT, PROCESS, SCHEMA, last_words, number, read_json, read_process, write_json
from node_manager.last_event import Cause, lost_body
from node_manager.limits.find import find_enforcement, watched
from node_manager.process import ProcessId, kernel_oom_kills, signal_group
from node_manager.supervisor.config import NodeConfig
from node_manager.supervisor.follow import EventLogs
from node_manager.supervisor.overruns import Overruns
from node_manager.supervisor.running_executors import Running, RunningExecutors
from node_manager.supervisor.spawn import WarmParentProcess
from runtime.disk.faults import free_bytes
from runtime.errors import DiskFull, FileFault, PlatformError
from runtime.log import get_logger
from runtime.metrics import metrics

BUSY_TICK_S = 0.25
IDLE_TICK_S = 5.0
LOOK_EVERY_S = 2.0
EXIT_FILE_WAIT_S = 2.0
RESTART_PAUSE_S = 1.0
MOST_RINGS = 1_000
_MAX_FOLDER_BYTES = 512
_BELL_MODE = 0o666  # executors may have a user of their own; the folder is the party's alone
_log = get_logger("node_manager")
_LOST = metrics("node_manager").counter("executors_lost", "Executors that did not end by themselves.", ["cause"])


class Supervisor:
    """Watches the executors of a node and says which of their logs to look into."""

    def __init__(self, config: NodeConfig, logs: EventLogs, executors: RunningExecutors) -> None:
        self._config = config
        self._logs = logs
        self._executors = executors
        self._selector = selectors.DefaultSelector()
        self._bell = _bind(config.doorbell)
        self._waker, self._wake = socket.socketpair()
        for quiet in (self._waker, self._wake, self._bell):
            quiet.setblocking(False)
        self.enforcement = (
            find_enforcement(config.state, config.capacity.cores) if config.groups else watched("they are switched off")
        )
        self.overruns = Overruns(config, self.enforcement)
        self._closing = False
        self._orphans = False
        confinement = config.confinement
        self._home = Home(confinement.uid, next(iter(confinement.closed), None), config.state / "executors")
        self._looked_at = 0.0
        self._parent_begun_at = 0.0
        self._thread = threading.Thread(target=self._run, name="node-supervisor", daemon=True)
        self.parent = self._new_parent()
        self._on(self._bell, self._rung)
        self._on(self._waker, self._woken)

    def start(self) -> None:
        """Begin to watch, once nothing is left of executors that ended while nobody did."""
        self.enforcement.keep_only([running.key.folder for running in self._executors.all()])
        self._end_abandoned()
        self._thread.start()

    def watch(self, running: Running) -> None:
        """Watch a process that is known from before. Call it before `start`."""
        self._follow(running)
        self._look(running)

    def stop(self) -> None:
        """Stop watching and let the warm parent go."""
        self._closing = True
        self._wake_up()
        self._thread.join()
        self._on_closed()

    def _run(self) -> None:
        while not self._closing:
            try:
                for ready, _ in self._selector.select(self._tick_s()):
                    ready.data()
                self._tick()
            except (OSError, PlatformError) as problem:  # a full disk, for one: it is looked at again
                _log.error("Watching failed, going on", reason=str(problem))
                time.sleep(BUSY_TICK_S)

    def _tick_s(self) -> float:
        return BUSY_TICK_S if self._executors.all() or self._orphans else IDLE_TICK_S

    def _on(self, source: socket.socket | WarmParentProcess | int, action: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, action)

    def _on_closed(self) -> None:
        for running in self._executors.all():
            self._unfollow(running)
        self._selector.close()
        self.parent.close(wait_s=0 if self._executors.all() else 5)
        for ours in (self._bell, self._waker, self._wake):
            ours.close()
        self._config.doorbell.unlink(missing_ok=True)
        self.enforcement.close()

    # The warm parent

    def _new_parent(self) -> WarmParentProcess:
        self._parent_begun_at = time.monotonic()
        parent = WarmParentProcess(self._config.preload, self._config.confinement)
        self._on(parent, self._answered)
        return parent

    def _answered(self) -> None:
        answer = self.parent.receive()
        if answer is None:
            self._replace_parent()
        elif answer["kind"] == "ready":
            self._ready()
        else:
            running = self._executors.numbered(answer["number"])
            if running is not None and answer["kind"] == "started":
                self._follow(running)
            elif running is not None:
                _fail(running, f"No process could be made ({answer.get('text')}).")

    def _ready(self) -> None:
        """Say how long it took and, if nothing confines executors, that as well: it is a warning, every time."""
        found = self.parent.isolation
        _log.info("Warm parent ready", pid=self.parent.pid, seconds=round(time.monotonic() - self._parent_begun_at, 2))
        if found is not None:
            tell = _log.info if found.mode.sound else _log.warning
            tell("How executors are confined", mode=found.mode, how=found.text)

    def _replace_parent(self) -> None:
        """The warm parent died: its executors become our children, unanswered assignments are asked about."""
        self._selector.unregister(self.parent)
        self.parent.close(wait_s=5)
        self._orphans = True
        _log.error("Warm parent lost", pid=self.parent.pid, how=self.parent.how_it_ended)
        if time.monotonic() - self._parent_begun_at < RESTART_PAUSE_S:
            time.sleep(RESTART_PAUSE_S)
        self.parent = self._new_parent()
        for running in self._executors.waiting():
            if (running.folder / PROCESS).exists():
                self._follow(running)
            else:
                _fail(running, "The warm parent died before it made the process.")

    # One executor

    def _follow(self, running: Running) -> None:
        process = self._identify(running)
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:
            handle = None
        if handle is not None and process.alive():
            running.process_file = handle
            self._on(handle, lambda: self._ended(running))
        elif handle is not None:
            os.close(handle)
        if running.process_file is None:
            self._ended(running)

    def _identify(self, running: Running) -> ProcessId:
        """Who the process is, by what it left in its folder; whoever waits for its start hears its pid."""
        process, running.inherited_bytes = read_process(running.folder) or (ProcessId(0, 0), 0)
        running.process = process
        with suppress(InvalidStateError):
            running.started.set_result(process.pid)
        return process

    def _unfollow(self, running: Running) -> None:
        if running.process_file is not None:
            self._selector.unregister(running.process_file)
            os.close(running.process_file)
            running.process_file = None

    def _ended(self, running: Running) -> None:
        """The process is over. Its parent leaves the exit file; if its parent died too, it is ours to reap."""
        self._unfollow(running)
        running.gone_at = time.monotonic()
        self._reap_orphan(running)
        self._look(running)

    def _reap_orphan(self, running: Running) -> None:
        pid = running.process.pid if running.process else 0
        with suppress(ChildProcessError):
            if pid and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                signal_group(pid, signal.SIGKILL)
                self._end_orphans()
                _, status, usage = os.wait4(pid, 0)
                body: dict[str, object] = {"schema": SCHEMA, "pid": pid, "status": status}
                running.unwritten = {**body, "peak_bytes": usage.ru_maxrss * 1024}
        if running.unwritten:
            with suppress(DiskFull, FileFault):  # written at a later tick
                with suppress(FileNotFoundError):  # the job was cleaned meanwhile
                    write_json(running.folder / EXIT, running.unwritten)
                running.unwritten = {}

    def _end_orphans(self) -> None:
        """What executors left behind that were our own since their warm parent died: confined, and no executors."""
        gone = end_left_behind(self._pids(), confined)
        self._orphans = not gone or bool(self._executors.all())

    def _end_abandoned(self) -> None:
        """What executors left behind that had no parent any more when they ended."""
        for process in abandoned(self._home, self._pids()):
            process.kill()

    def _pids(self) -> set[int]:
        return {running.process.pid for running in self._executors.all() if running.process is not None}

    def _look(self, running: Running) -> None:
        """Something may be new in its log; if the exit file is there, record the end."""
        if running.ended.is_set():
            return
        self._logs.rung(running.key.folder)
        end = read_json(running.folder / EXIT)
        if end is not None:
            self._finish(running, number(end, "status"))
        elif running.gone_at is not None and free_bytes(running.folder) == 0:
            running.gone_at = time.monotonic()  # its parent writes how it ended once there is room
        elif running.gone_at is not None and time.monotonic() - running.gone_at > EXIT_FILE_WAIT_S:
            self._end_abandoned()
            self._finish(running, None)

    def _finish(self, running: Running, status: int | None) -> None:
        name = running.key.folder
        self._unfollow(running)
        if (running.folder / PROCESS).exists():  # so quick that its end is known before the warm parent's answer
            self._identify(running)
        self.overruns.note_end(running)
        self.enforcement.remove(name)
        killed_for_memory = not self.enforcement.has_groups and kernel_oom_kills() > running.oom_kills
        body = lost_body(status, running.decided, running.overrun, kernel_oom=killed_for_memory)
        if body["cause"] != Cause.EXIT:
            _LOST.labels(str(body["cause"])).inc()
            _log.warning("Executor lost", executor=name, cause=str(body["cause"]))
        with self._logs.folder(name) as folder, suppress(FileNotFoundError):  # it was forgotten meanwhile
            write_json(folder / END, {"schema": SCHEMA, "events": _last_events(running, body)})
        self._executors.remove(running)
        running.ended.set()
        self._logs.rung(name)
        _fail(running, "The process ended before it began.")

    # Ticks and bells

    def _rung(self) -> None:
        folders = set()
        with suppress(BlockingIOError):
            for _ in range(MOST_RINGS):
                folders.add(self._bell.recv(_MAX_FOLDER_BYTES).decode(errors="replace"))
        for folder in folders:
            running = self._executors.in_folder(folder)
            if running is not None:
                self._look(running)

    def _tick(self) -> None:
        look = time.monotonic() - self._looked_at >= LOOK_EVERY_S
        self.overruns.check(self._executors.all(), thorough=look)
        for running in self._executors.all():
            if running.gone_at is not None:
                self._reap_orphan(running)
            if look or running.gone_at is not None:
                self._look(running)
        if look and self._orphans:
            self._end_orphans()
        if look:
            self.enforcement.tidy()
            self._logs.forget_old()
            self._looked_at = time.monotonic()

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            self._waker.recv(_MAX_FOLDER_BYTES)

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):
            self._wake.send(b"w")


def _last_events(running: Running, lost: dict[str, object]) -> list[object]:
    """That it was lost, after what it left on its standard error."""
    key = running.key
    bodies = [(EventKind.LOST, lost)]
    said = checked(EventKind.LOG, {"level": "error", "text": last_words(running.folder)})
    if said and said["text"]:
        bodies.insert(0, (EventKind.LOG, said))
    events = [
        ExecutorEvent(
            schema=1,
            job=key.job,
            task=key.task,
            attempt=key.attempt,
            address=key.address,
            incarnation=key.incarnation,
            sequence=i,
            at_ms=time.time_ns() // 1_000_000,
            kind=kind,
            body=body,
        )
        for i, (kind, body) in enumerate(bodies, start=1)
    ]
    return [event.model_dump(mode="json", by_alias=True) for event in events]


def _fail(running: Running, why: str) -> None:
    """Whoever waits for the start hears why there is none; nothing changes if it has been answered."""
    with suppress(InvalidStateError):
        running.started.set_exception(ForkFailed(why))


def _bind(path: os.PathLike[str]) -> socket.socket:
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  any path-like
    bell.bind(os.fspath(path))
    os.chmod(path, _BELL_MODE)  # noqa: PTH101
    return bell
