"""Ends executors that run although nobody manages them any more: known by pid and start time, never by name."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil

from node_manager.folders import PROCESS, number, orders, read_json
from node_manager.process import ProcessId
from party.home import AlreadyRunning, PartyHome

GRACE_S = 2.0
LOOK_EVERY_S = 0.05


def end_left_over(home: PartyHome) -> int:
    """End what still runs of this home's executors; how many there were.

    Nothing is done while a launcher or a Node Manager runs: then they are its own. Their working folders stay, so
    that the next Node Manager records how they ended.
    """
    try:
        with home.lock("launcher"), home.lock("node_manager"):
            return _end(_running(home))
    except AlreadyRunning:
        return 0


def _running(home: PartyHome) -> list[ProcessId]:
    found = []
    for folder, _ in orders(home.state("node") / "executors"):
        body = read_json(folder / PROCESS) or {}
        process = ProcessId(number(body, "pid") or 0, number(body, "start_ticks") or 0)
        if process.pid and process.alive():
            found.append(process)
    return found


def _end(running: list[ProcessId]) -> int:
    family: list[psutil.Process] = []
    for process in running:
        with suppress(psutil.NoSuchProcess):
            family += psutil.Process(process.pid).children(recursive=True)
    for kill in (signal.SIGTERM, signal.SIGKILL):
        for process in running:
            process.signal_group(kill)
        deadline = time.monotonic() + GRACE_S
        while any(process.alive() for process in running) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    return len(running)
