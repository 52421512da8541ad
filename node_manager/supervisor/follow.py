"""The event logs of a node, followed from any position in them.

An executor's log is the only copy of what it told. Whoever follows the logs says how far they have recorded each;
nothing is remembered here but in which logs something may be new, and which are recorded to their end. A log outlives
its job until it is recorded, and an hour at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from node_manager.allowance import BOUNDS, LogBounds
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
        bounds: What is taken of one.
    """

    def __init__(self, folders: Path, kept: Path, bounds: LogBounds = BOUNDS) -> None:
        self.bounds = bounds
        self._folders = folders
        self._kept = kept
        private_folder(kept)
        self._unmoved = threading.RLock()  # held while a log is read or moved
        self._changed = threading.Condition()
        self._followers: list[Follower] = []
        self._closed = False
        self._recorded: set[str] = set()  # to their end; their jobs are not over yet

    @contextmanager
    def follower(self, since: Mapping[str, int]) -> Iterator[Follower]:
        """Somebody who has read each log up to a sequence, and those that are not named not at all."""
        with self._changed:
            follower = Follower(self, since)
            self._followers.append(follower)
        self.rung(*_names(self._kept), *_names(self._folders))
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
        """Put those logs of a job aside that are not recorded to their end, before its working folders go."""
        with self._unmoved:
            for name in _names(self._folders, f"{job}/*-i*"):
                if name not in self._recorded:
                    (self._kept / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                    for file in (EVENTS, END):
                        with suppress(FileNotFoundError):
                            (self._folders / name / file).rename(self._kept / name / file)
                forget_folder(self._folders / name)
                self._recorded.discard(name)

    def acknowledge(self, names: Collection[str]) -> None:
        """These logs are recorded to their end: once their job is over nothing is kept of them."""
        with self._unmoved:
            known, kept = _names(self._folders), _names(self._kept)
            self._recorded.update(name for name in names if name in known)
            self._forget(name for name in names if name in kept)

    def forget_old(self) -> None:
        """Nobody came for what was put aside long ago."""
        with self._unmoved:
            since = time.time() - KEEP_S
            self._forget(name for name in _names(self._kept) if (self._kept / name).stat().st_mtime < since)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            forget_folder(self._kept / name)
            with suppress(OSError):  # there are others of its job
                (self._kept / name).parent.rmdir()

    def wake(self) -> None:
        """Let every waiting follower return, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


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
            told, after = read_new(folder, name, position, self._logs.bounds)
            more = has_more(folder, position, after, self._logs.bounds)
            if over and not more and not after.final:
                last, after = read_end(folder, after, self._logs.bounds)
                told += last
        self._positions[name] = after
        if after.final:
            self._forget(name)
        elif more:
            self.due[name] = None
        since = self._since.get(name, 0)
        if after.final and since >= after.own:
            self._logs.acknowledge([name])
        yield from (document for event, document in told if event.sequence > since)

    def _forget(self, name: str) -> None:
        del self._positions[name]
        self._over[name] = None
        while len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]


def _names(root: Path, pattern: str = FOLDERS) -> list[str]:
    return [str(path.relative_to(root)) for path in root.glob(pattern)]
