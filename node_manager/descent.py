"""Who descends from whom, and the end of all that an executor leaves behind. Linux only.

Every executor is a subreaper and cannot cease to be one: however often what it starts forks, and whatever sessions it
makes, it stays beneath the executor while that lives. At the instant of its end they become children of the next
subreaper above, the warm parent or, where that died, the Node Manager: there, a child that nobody there started is
one that was left behind. Where both died, what is left behind is known by its command, its folders, or its user.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node_manager.folders import SCRATCH
from node_manager.process import ProcessId

PATIENCE_S = 1.0
LOOK_AGAIN_S = 0.005
WARM_PARENT = "node_manager.executor.warm_parent"  # as its command names it
_MOST_OF_STAT = 1024


@dataclass(frozen=True)
class Home:
    """By what the processes of one party's executors are known on a host.

    Attributes:
        uid: Whom they run as, where the services are root.
        root: The party's home, which the warm parent's command names; None if it names none.
        folders: Where their working folders are.
    """

    uid: int
    root: Path | None
    folders: Path


def children(pid: int) -> list[int]:
    """The processes whose parent it is, also those that ended and were not reaped yet."""
    try:
        tables = [Path(task) / "children" for task in _tasks(pid)]
        return [int(child) for table in tables for child in table.read_text().split()]
    except OSError:  # the kernel may be built without these tables
        return [child for child, parent in _parents().items() if parent == pid]


def families(leaders: Collection[int]) -> dict[int, list[int]]:
    """All that descends from each of these processes, itself left out."""
    beneath: dict[int, list[int]] = {}
    for child, parent in _parents().items() if leaders else ():
        beneath.setdefault(parent, []).append(child)
    found: dict[int, list[int]] = {}
    for leader in leaders:
        family = found[leader] = list(beneath.get(leader, ()))
        for member in family:  # which grows meanwhile
            family += beneath.get(member, ())
    return found


def end_left_behind(known: Collection[int], ours: Callable[[int], bool], patience_s: float = PATIENCE_S) -> bool:
    """Kill and reap our children that are not known, and theirs, which become ours, until none is left.

    Returns whether none is; after `patience_s` it gives up for now. Asks `ours` of each child that is not known.
    """
    deadline = time.monotonic() + patience_s
    while left := [pid for pid in children(os.getpid()) if pid not in known and ours(pid)]:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


def end_with_family(process: ProcessId, patience_s: float = PATIENCE_S) -> None:
    """Kill an executor that still runs and all beneath it; it is halted first, so that it starts nothing meanwhile."""
    process.signal_group(signal.SIGSTOP)
    deadline = time.monotonic() + patience_s
    while process.alive() and time.monotonic() < deadline:
        family = list(living(families([process.pid])[process.pid]))
        for member in family:
            member.kill()
        if not family:
            break
        time.sleep(LOOK_AGAIN_S)
    process.signal_group(signal.SIGKILL)


def living(pids: Iterable[int]) -> Iterator[ProcessId]:
    """Those of the processes that still run."""
    for pid in pids:
        process = ProcessId.of(pid)
        if process is not None and process.alive():
            yield process


def confined(pid: int) -> bool:
    """Whether a process has given up more rights than this one: as executors have, and what they start, for good."""
    return _given_up(pid) > _given_up(os.getpid())


def abandoned(home: Home, keep: Collection[int]) -> list[ProcessId]:
    """What is left of a home's executors, beneath no warm parent that lives and none of those to keep."""
    parents = _parents()
    return [process for process in living(parents) if _is_left(process.pid, home, parents, keep)]


def warm_parents(home: Home) -> list[ProcessId]:
    """The warm parents of a home on this host, and executors that gave up no rights yet."""
    return [process for process in living(_parents()) if _is_warm_parent(process.pid, home)]


def _is_warm_parent(pid: int, home: Home) -> bool:
    command = _words(pid, "cmdline")
    return WARM_PARENT.encode() in command and f"--closed={home.root}".encode() in command and not confined(pid)


def _is_left(pid: int, home: Home, parents: dict[int, int], keep: Collection[int]) -> bool:
    if not _is_of(pid, home):
        return False
    while pid not in keep and confined(pid):
        pid = parents.get(pid, 1)
    return pid not in keep and WARM_PARENT.encode() not in _words(pid, "cmdline")


def _is_of(pid: int, home: Home) -> bool:
    """Whether it is an executor of this home or was started by one. It may have forged what is read here."""
    if not confined(pid):
        return False
    command, variables = _words(pid, "cmdline"), _words(pid, "environ")
    if WARM_PARENT.encode() in command:
        return f"--closed={home.root}".encode() in command
    scratch = [word for word in variables if word.startswith(b"HOME=") and word.endswith(b"/" + SCRATCH.encode())]
    if scratch:
        return scratch[0].startswith(f"HOME={home.folders}/".encode())
    with suppress(OSError):
        return Path(f"/proc/{pid}").stat().st_uid == home.uid != os.geteuid()
    return False


def _given_up(pid: int) -> tuple[int, int]:
    """How many filters of system calls a process has, and whether it may gain privileges."""
    found = {}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":\t")
            found[name] = value
    return int(found.get("Seccomp_filters", 0)), int(found.get("NoNewPrivs", 0))


def _words(pid: int, table: str) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{table}").read_bytes().split(b"\0")
    return []


def _parents() -> dict[int, int]:
    """Every process and its parent. Ends wait for this, and the starts after them: it does no more than it must."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  names of hundreds of processes
        if name.isdigit():
            with suppress(OSError, ValueError):
                found[int(name)] = _parent(name)
    return found


def _parent(pid: str) -> int:
    table = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fields = os.read(table, _MOST_OF_STAT)
    finally:
        os.close(table)
    return int(fields[fields.rindex(b")") + 1 :].split(None, 2)[1])


def _tasks(pid: int) -> list[str]:
    return [entry.path for entry in os.scandir(f"/proc/{pid}/task")]
