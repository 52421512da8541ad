"""The Node Manager: turns an order into a process, stops processes, tells what it knows. Knows nothing of gRPC."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import InvalidStateError
from contextlib import suppress
from pathlib import Path

import psutil

from node_manager.assignment import Assignment
from node_manager.descent import end_with_family, families, living
from node_manager.errors import ForkFailed, NodeStopping, StaleIncarnation
from node_manager.folders import (
    END,
    EXIT,
    PROCESS,
    SCHEMA,
    ExecutorKey,
    check_schema,
    forget_folder,
    make_folder,
    read_json,
    read_order,
    read_process,
    working_folders,
    write_json,
)
from node_manager.last_event import Cause
from node_manager.limits.amounts import pressure
from node_manager.order import Order, OrderHead
from node_manager.process import anonymous_bytes, become_subreaper, cease_subreaper, is_stopped, kernel_oom_kills
from node_manager.status import HeldRoom, NodeStatus
from node_manager.supervisor.config import NodeConfig
from node_manager.supervisor.follow import EventLogs
from node_manager.supervisor.host import Load
from node_manager.supervisor.running_executors import Running, RunningExecutors
from node_manager.supervisor.supervisor import Supervisor
from runtime.disk.faults import free_bytes, refuse_unwritable, total_bytes
from runtime.disk.files import private_folder
from runtime.disk.room import lacks_room
from runtime.errors import InvalidInput, PlatformError
from runtime.log import get_logger
from runtime.metrics import metrics

START_WAIT_S = 150.0
KILL_WAIT_S = 10.0
NEVER_STARTED: dict[str, object] = {"schema": SCHEMA, "pid": 0, "status": None, "peak_bytes": 0}
_log = get_logger("node_manager")
_STARTED = metrics("node_manager").counter("executors_started", "Executors that were started.")


class NodeManager:
    """One host's executors."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._folders = config.state / "executors"
        private_folder(self._folders)
        self._logs = EventLogs(self._folders, config.state / "ended", config.log_bounds)
        self._executors = RunningExecutors(config.capacity.gpus)
        self._load = Load(config.capacity.gpus)
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        become_subreaper()
        self._supervisor = Supervisor(config, self._logs, self._executors)

    def begin(self) -> None:
        """Adopt what still runs from before, then watch."""
        for folder in working_folders(self._folders):
            self._adopt(folder)
        self._supervisor.start()

    def close(self, grace_s: float) -> None:
        """End the executors; then let everything go."""
        self._stopping.set()
        self._give_up_waiting()
        self._end(self._executors.all(), grace_s / 2)
        self._supervisor.stop()
        cease_subreaper()

    def describe(self) -> NodeStatus:
        """This host now."""
        cpu_percent, memory_used, gpu_percent = self._load.read()
        found = self._supervisor.parent.isolation
        capacity = self._config.capacity
        running = self._executors.all()
        return NodeStatus(
            schema=1,
            node=self._config.name,
            cores=capacity.cores,
            memory_bytes=capacity.memory_bytes,
            gpus=capacity.gpus,
            cpu_percent=cpu_percent,
            memory_used=memory_used,
            gpu_percent=gpu_percent,
            executors=tuple(sorted(one.key.folder for one in running)),
            held=tuple(_held(one) for one in running if one.reservation),
            stopped=tuple(sorted(one.key.folder for one in running if one.process and one.process.stopped())),
            parent_stopped=is_stopped(self._supervisor.parent.pid),
            warm=self._supervisor.parent.ready,
            isolation=found.mode if found else "",
            isolation_text=found.text if found else "",
            limits_text=self._supervisor.enforcement.text,
            pressure=self._pressure(),
            disk_full=lacks_room(self._config.state),
        )

    def _pressure(self) -> str:
        memory = psutil.virtual_memory()
        state = self._config.state
        return pressure(memory.available, memory.total, free_bytes(state), total_bytes(state))

    def start(self, order: Order) -> int:
        """The pid of the executor of this order; the same order again gives the same pid.

        Raises StaleIncarnation if a newer incarnation is known or this one has ended, ForkFailed, NoGpuLeft,
        NodeStopping, OrderRefused, DiskFull, FileFault.
        """
        received_at = time.monotonic()
        check_schema(order.schema_version, "order")
        key = ExecutorKey.of(order)
        if self._stopping.is_set():
            raise NodeStopping("The Node Manager is going down.", hint="Try again when it is back.")
        with self._starting:
            self._refuse_older(key)
            running, is_new = self._enrol(key, order)
        if is_new:
            _STARTED.inc()
            self._end([older for older in self._executors.beside(key) if older.key < key], 0)
            self._launch(running, order, received_at)
        try:
            return running.started.result(START_WAIT_S)
        except TimeoutError as problem:  # another call launches it and has not come to an end either
            raise ForkFailed("No process could be made for the order in time.", hint="Try again.") from problem

    def stop(self, job: str, task: str | None, attempt: int | None, grace_s: float) -> int:
        """End the matching executors and everything they have started; returns how many there were."""
        matching = self._executors.matching(job, task, attempt)
        self._end(matching, grace_s)
        return len(matching)

    def clean(self, job: str) -> None:
        """End what still runs of a job and remove its working folders. May be repeated."""
        self.stop(job, None, None, grace_s=2)
        if ExecutorKey.is_job(job):
            self._logs.keep(job)
            forget_folder(self._folders / job)

    def watch(self, listening: Callable[[], bool]) -> Iterator[NodeStatus]:
        """This host at once, then again and again, until the reader or this node goes."""
        while listening() and not self._stopping.is_set():
            yield self.describe()
            self._stopping.wait(self._config.heartbeat_s)

    def events(self, since: Mapping[str, int], listening: Callable[[], bool]) -> Iterator[bytes]:
        """The documents of all events of each log after a sequence, until the reader or this node goes."""
        with self._logs.follower(since) as follower:
            while listening() and not self._stopping.is_set():
                yield from follower.documents(self._config.heartbeat_s)

    def acknowledge(self, logs: Collection[str]) -> None:
        """These event logs are recorded, up to their last event: of a job that is over nothing is kept of them."""
        self._logs.acknowledge(logs)

    def go_quiet(self) -> None:
        """Let readers return; nothing new is started from now on."""
        self._stopping.set()
        self._logs.wake()

    def _refuse_older(self, key: ExecutorKey) -> None:
        start = f"{key.folder.rpartition('-i')[0].rpartition('/')[2]}-i"
        known = [int(path.name[len(start) :]) for path in (self._folders / key.job).glob(f"{start}[0-9]*")]
        if max(known, default=0) > key.incarnation:
            raise StaleIncarnation(
                f"Incarnation {key.incarnation} of {key.address} in {key.job}/{key.task}/{key.attempt} is out of date; "
                f"{max(known)} is known here."
            )

    def _enrol(self, key: ExecutorKey, order: Order) -> tuple[Running, bool]:
        fresh = _running(key, self._folders / key.folder, order)
        running = self._executors.add(fresh)
        if running is fresh:
            try:
                refuse_unwritable(self._folders)
                make_folder(self._folders, key, order)
            except (PlatformError, OSError):
                self._executors.remove(fresh)
                raise
        return running, running is fresh

    def _launch(self, running: Running, order: Order, received_at: float) -> None:
        earlier = order.resume
        for last in (False, True):
            assignment = Assignment(
                schema=1,
                number=self._executors.number(running),
                folder=running.folder,
                token=order.token,
                task_key=self._config.task_key(order.job, order.task).hex(),
                earlier_key=self._config.task_key(earlier.job, order.task).hex() if earlier else "",
                doorbell=str(self._config.doorbell),
                received_at=received_at,
                gpus=running.gpus,
                groups=self._group_of(running),
            )
            with suppress(ForkFailed):  # the supervisor notices as well, makes another parent and fails `started`
                self._supervisor.parent.send(assignment)
            try:
                running.started.result(START_WAIT_S)
                return
            except (ForkFailed, TimeoutError) as problem:
                if last or running.ended.is_set() or isinstance(problem, TimeoutError):
                    self._give_up(running)
                    refuse_unwritable(self._folders)
                    raise ForkFailed("No process could be made for the order.", hint="Try again.") from problem
                running.started = type(running.started)()

    def _group_of(self, running: Running) -> tuple[Path, ...]:
        """Without one it is watched."""
        try:
            inherited = anonymous_bytes(self._supervisor.parent.pid)
            limits = self._supervisor.overruns.limits(running.resources, inherited)
            return self._supervisor.enforcement.make(running.key.folder, limits)
        except OSError as problem:
            _log.warning("No control group could be made", executor=running.key.folder, reason=str(problem))
            self._supervisor.enforcement.remove(running.key.folder)
            return ()

    def _give_up(self, running: Running) -> None:
        self._executors.remove(running)
        running.ended.set()
        self._supervisor.enforcement.remove(running.key.folder)
        forget_folder(running.folder)

    def _give_up_waiting(self) -> None:
        """Orders that the warm parent has not come to: should it still do, the child finds the end and goes."""
        for running in self._executors.unanswered():
            if read_json(running.folder / PROCESS) is None:
                running.decided = Cause.NOT_STARTED
                write_json(running.folder / EXIT, NEVER_STARTED)
                running.gone_at = time.monotonic()
            with suppress(InvalidStateError):  # it has started meanwhile
                running.started.set_exception(NodeStopping("The Node Manager is going down.", hint="Try again later."))

    def _end(self, chosen: list[Running], grace_s: float) -> None:
        """SIGTERM to each process group, SIGKILL after the grace, then whatever had left its group."""
        for running in chosen:
            running.decided = running.decided or Cause.STOPPED
        beneath = families([running.process.pid for running in chosen if running.process is not None])
        members = [member for family in beneath.values() for member in living(family)]
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_WAIT_S)):
            for running in chosen:
                if running.process is None or running.ended.is_set():
                    continue
                if number is signal.SIGTERM:
                    running.process.signal_group(number)
                else:
                    self._supervisor.enforcement.kill(running.key.folder)
                    end_with_family(running.process)
            deadline = time.monotonic() + wait_s
            for running in chosen:
                running.ended.wait(max(0.0, deadline - time.monotonic()))
        for member in members:
            member.kill()

    def _adopt(self, folder: Path) -> None:
        """Watch the executor of a folder, or end it if its order is none of ours; what cannot be read now stays."""
        if read_json(folder / END) is not None:
            return
        try:
            order = read_order(folder, OrderHead)
            key = ExecutorKey.of(order)
        except FileNotFoundError:  # it had none yet
            forget_folder(folder)
            return
        except OSError as problem:
            _log.error("An order cannot be read, its folder stays", folder=str(folder), reason=str(problem))
            return
        except (ValueError, InvalidInput) as problem:
            _log.error("An order is not understood, its executor is ended", folder=str(folder), reason=str(problem))
            if (known := read_process(folder)) is not None:
                end_with_family(known[0])
            forget_folder(folder)
            return
        running = _running(key, folder, order)
        self._executors.add(running)
        if read_json(folder / PROCESS) is None and read_json(folder / EXIT) is None:
            running.decided = Cause.NOT_STARTED
            write_json(folder / EXIT, NEVER_STARTED)
        _log.info("Executor adopted", executor=key.folder)
        self._supervisor.watch(running)


def _running(key: ExecutorKey, folder: Path, order: OrderHead) -> Running:
    return Running(key, folder, order.resources, oom_kills=kernel_oom_kills(), reservation=order.reservation)


def _held(running: Running) -> HeldRoom:
    key = running.key
    return HeldRoom(
        reservation=running.reservation,
        job=key.job,
        task=key.task,
        attempt=key.attempt,
        address=key.address,
        resources=running.resources,
    )
