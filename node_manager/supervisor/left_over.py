"""Ends executors that run although nobody manages them any more: known by pid and start time, never by name."""

from __future__ import annotations

import signal
import time

from node_manager.descent import Home, abandoned, end_with_family, families, living, warm_parents
from node_manager.folders import read_process, working_folders
from node_manager.limits.find import find_enforcement
from node_manager.process import ProcessId
from node_manager.supervisor.config import Confinement
from party.errors import AlreadyRunning
from party.home import PartyHome

GRACE_S = 2.0
LOOK_EVERY_S = 0.05


def end_left_over(home: PartyHome) -> int:
    """End what still runs of this home's executors; how many there were.

    Nothing is done while a launcher or a Node Manager runs: then they are its own. Their working folders stay, so
    that the next Node Manager records how they ended.
    """
    try:
        with home.lock("launcher"), home.lock("node_manager"):
            running = _running(home)
            _end(running)
            known = Home(Confinement.of(home).uid, home.root, home.state("node") / "executors")
            abandoned_too = _end_abandoned(known) + _end_warm_parents(known)
            groups = find_enforcement(home.state("node"), cores=1)
            groups.keep_only(())
            groups.close()
            return len(running) + abandoned_too
    except AlreadyRunning:
        return 0


def _running(home: PartyHome) -> list[ProcessId]:
    found = []
    for folder in working_folders(home.state("node") / "executors"):
        known = read_process(folder)
        if known is not None and known[0].alive():
            found.append(known[0])
    return found


def _end(running: list[ProcessId]) -> None:
    beneath = families([process.pid for process in running])
    members = [member for family in beneath.values() for member in living(family)]
    for process in running:
        process.signal_group(signal.SIGTERM)
    _await(running)
    for process in running:
        end_with_family(process)
    _await(running)
    for member in members:
        member.kill()


def _end_abandoned(home: Home) -> int:
    """What executors left behind that ended when nobody was above them; how many processes there were."""
    deadline = time.monotonic() + GRACE_S
    seen: set[ProcessId] = set()
    while (left := abandoned(home, ())) and time.monotonic() < deadline:
        seen.update(left)
        for process in left:
            process.kill()
        time.sleep(LOOK_EVERY_S)
    return len(seen)


def _end_warm_parents(home: Home) -> int:
    """The end of warm parents, which follow their last child, and of one that still imports; how many were killed."""
    parents = warm_parents(home)
    _await(parents)
    late = [parent for parent in parents if parent.alive()]
    for parent in late:
        parent.kill()
    _await(late)
    return len(late)


def _await(running: list[ProcessId]) -> None:
    deadline = time.monotonic() + GRACE_S
    while any(process.alive() for process in running) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
