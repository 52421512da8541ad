"""The event logs of a node, followed from any position in them.

An executor's log is the only copy of what it told. Whoever follows the logs says how far they have read each; nothing
is remembered here but in which logs something may be new. Logs outlive their job for a while, for who has not read
them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from node_manager.folders import END, EVENTS, FOLDERS, forget_folder, read_json
from node_manager.supervisor.tail import Position, has_more, read_end, read_new
from runtime.disk.files import private_folder
from runtime.log import get_logger

KEEP_S = 3600.0
MOST_OVER = 1_000  # logs read to their end that a follower knows by name, should somebody ring for one again
_log = get_logger("node_manager")


class EventLogs:
    """The logs of the executors that run and of those that are over. Safe to use from several threads.

    Args:
        folders: Where executors work.
        kept: Where the logs of jobs lie that were cleaned.
    """

    def __init__(self, folders: Path, kept: Path) -> None:
        self._folders = folders
        self._kept = kept
        private_folder(kept)
        self._unmoved = threading.RLock()  # held while a log is read or moved
        self._changed = threading.Condition()
        self._followers: list[Follower] = []
        self._closed = False

    @contextmanager
    def follower(self, since: Mapping[str, int]) -> Iterator[Follower]:
        """Somebody who has read each log up to a sequence, and those that are not named not at all."""
        with self._changed:
            follower = Follower(self, since)
            self._followers.append(follower)
        self.rung(*self._names())
        try:
            yield follower
        finally:
            with self._changed:
                self._followers.remove(follower)

    def rung(self, *names: str) -> None:
        """Something may be new in these logs."""
        with self._changed:
            for follower in self._followers:
                follower.due.update(dict.fromkeys(names))
            self._changed.notify_all()

    def due(self, follower: Follower, wait_s: float) -> list[str]:
        """The logs in which something may be new for a follower; waits up to `wait_s` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: follower.due or self._closed, wait_s)
            names = list(follower.due)
            follower.due.clear()
        return names

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Where a log lies, and stays meanwhile."""
        with self._unmoved:
            kept = self._kept / name
            yield kept if kept.exists() else self._folders / name

    def keep(self, job: str) -> None:
        """Put the logs of a job aside, before its working folders go; forget those that were put aside long ago."""
        with self._unmoved:
            for folder in (self._folders / job).glob("*-i*"):
                kept = self._kept / job / folder.name
                kept.mkdir(mode=0o700, parents=True, exist_ok=True)
                for file in (EVENTS, END):
                    with suppress(FileNotFoundError):
                        (folder / file).rename(kept / file)
                forget_folder(folder)
            for old in self._kept.iterdir():
                if time.time() - old.stat().st_mtime > KEEP_S:
                    forget_folder(old)

    def wake(self) -> None:
        """Let every waiting follower return, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _names(self) -> list[str]:
        found = [path.relative_to(root) for root in (self._kept, self._folders) for path in root.glob(FOLDERS)]
        return [str(path) for path in found]


class Follower:
    """One who reads every log, each in its turn."""

    def __init__(self, logs: EventLogs, since: Mapping[str, int]) -> None:
        self.due: dict[str, None] = {}
        self._logs = logs
        self._since = since
        self._positions: dict[str, Position] = {}
        self._over: dict[str, None] = {}

    def documents(self, wait_s: float) -> Iterator[bytes]:
        """New events, of each log in order and of each a turn; waits up to `wait_s` for the first."""
        for name in self._logs.due(self, wait_s):
            if name not in self._over:
                try:
                    yield from self._turn(name)
                except OSError as problem:  # no other log waits for one that cannot be read
                    _log.error("An event log cannot be read", executor=name, reason=str(problem))

    def _turn(self, name: str) -> Iterator[bytes]:
        position = self._positions.get(name, Position())
        with self._logs.folder(name) as folder:
            over = read_json(folder / END) is not None  # asked before the log is read: nothing is written after it
            told, after = read_new(folder, name, position)
            more = has_more(folder, position, after)
            if over and not more and not after.final:
                last, after = read_end(folder, after)
                told += last
        self._positions[name] = after
        if after.final:
            self._forget(name)
        elif more:
            self.due[name] = None
        since = self._since.get(name, 0)
        yield from (document for event, document in told if event.sequence > since)

    def _forget(self, name: str) -> None:
        del self._positions[name]
        self._over[name] = None
        while len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]
