"""Parties whose rooms are processes of their own, as in containers: each can be killed alone, and is started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from flow.client import FlowClient, url_of
from launcher.demo_data import write_breast
from launcher.federation import LocalFederation, LocalParty
from runtime.processes import Starting
from tests.fakes.nodes import eventually
from tests.fixtures.encrypted_job import PARTIES

ROOMS = ("gateway", "node_manager", "cluster_manager", "flow")
STOPS = Path(__file__).parent / "stops"
READY_S = 60.0


class PartyRooms:
    """One party's rooms."""

    def __init__(self, party: LocalParty) -> None:
        self.party = party
        self.stops_at = party.home / "stops.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start every room that does not run, and wait for it."""
        begun = {room: self._begin(room) for room in ROOMS if not self._runs(room)}
        for room, starting in begun.items():
            starting.wait(READY_S, 5)
            self._running[room] = starting.process

    def client(self) -> FlowClient:
        """Flow of this party, as its first user."""
        home = self.party.settings_home()
        return FlowClient(url_of(home), home.token())

    def pids(self, what: str) -> list[int]:
        """The living processes of a room; `executor`, `worker`, `warm parent` and `party` (all of it) are known too."""
        if what == "party":
            return [pid for kind in (*ROOMS, "warm parent", "executor", "worker") for pid in self.pids(kind)]
        if what == "warm parent":
            rooms = [psutil.Process(pid) for pid in self.pids("node_manager")]
            return [
                child.pid for room in rooms for child in room.children() if "warm_parent" in " ".join(child.cmdline())
            ]
        if what == "executor":
            return self.executors()
        if what == "worker":
            return [child.pid for pid in self.executors() for child in psutil.Process(pid).children(recursive=True)]
        return [self._running[what].pid] if self._runs(what) else []

    def kill(self, what: str) -> list[int]:
        """Kill these processes as `kill -9` does; their pids, once they are gone."""
        killed = self.pids(what)
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._running.values():
            if process.pid in killed:
                process.wait(READY_S)
        eventually(lambda: not any(map(_lives, killed)), what=f"the end of {what}")
        return killed

    def executors(self, job: str = "*") -> list[int]:
        """The pids of executors that run."""
        found = []
        for file in self.party.home.glob(f"state/node/executors/{job}/*/process.json"):
            with suppress(OSError, ValueError):
                pid = json.loads(file.read_bytes())["pid"]
                if _lives(pid):
                    found.append(pid)
        return found

    def stopped(self) -> int | None:
        """The pid of the process that came to its point."""
        candidates = [*self.pids("flow"), *self.executors()]
        return next((pid for pid in candidates if _state(pid) == "T"), None)

    def is_rid_of(self, job: str) -> bool:
        """Whether nothing is there any more of a job that is over: executors, their folders, checkpoints, room."""
        home = self.party.home
        folders = (home / "state" / "node" / "executors" / job, home / "store" / "checkpoints" / job)
        if self.executors(job) or any(folder.exists() for folder in folders):
            return False
        with closing(sqlite3.connect(f"file:{home}/state/cluster/cluster.sqlite?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM reservation WHERE job = ?", (job,)).fetchone() is None

    def down(self) -> None:
        """End all rooms."""
        self.kill("party")

    def _begin(self, room: str) -> Starting:
        command = [sys.executable, "-P", "-m", room, "--home", str(self.party.home)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHON_STOPS", str(self.stops_at))
            patch.setenv("PYTHONPATH", str(STOPS), prepend=os.pathsep)
            return Starting(command, self.party.home / "logs" / f"{room}.err")

    def _runs(self, room: str) -> bool:
        return room in self._running and self._running[room].poll() is None


class Federation:
    """Three parties of such rooms, with data."""

    def __init__(self, folder: Path) -> None:
        self._made = LocalFederation(folder, PARTIES, policy=["min_protection=plain"])
        self._folder = folder
        self.parties = {name: PartyRooms(self._made[name]) for name in PARTIES}

    def up(self) -> None:
        """Make them, start them, upload what they train on."""
        self._made.create()
        for party in self.parties.values():
            party.up()
        uploads, _ = write_breast(self._folder, PARTIES[:2])
        for item in uploads:
            columns = ("--table", item.table, "--id", "id", "--label", "y")
            self._made[item.party].flow("data", "upload", item.file, *columns)

    def down(self) -> None:
        """End them and remove their homes."""
        for party in self.parties.values():
            party.down()
        shutil.rmtree(self._folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    return _state(pid) not in ("", "Z", "X")


def _state(pid: int) -> str:
    """The kernel's letter for what a process does; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
