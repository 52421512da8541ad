"""Holding executors to their limits by control groups: one for each executor, with all that it starts.

Who is in a group cannot leave it: neither a new session nor a second fork takes a process out of it. A group is found
by its executor's name, so a Node Manager that comes back finds those of its predecessor.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from node_manager.last_event import Cause, Overrun
from node_manager.limits.amounts import Limits
from node_manager.process import ProcessId

PROCS = "cgroup.procs"
PATIENCE_S = 2.0
LOOK_AGAIN_S = 0.005
_MOST_NAME = 200


class Enforcement:
    """How executors are held to their limits on a host; this one has no groups, and who watches does it alone.

    Attributes:
        text: How, for people.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def has_groups(self) -> bool:
        """Whether the kernel keeps the limits of memory and processes."""
        return False

    def holds(self, _name: str) -> bool:
        """Whether an executor is in a group of its own, with limits."""
        return False

    def make(self, _name: str, _limits: Limits) -> tuple[Path, ...]:
        """Where an executor has to write "0" to be inside. Raises OSError."""
        return ()

    def overrun(self, _name: str, _limits: Limits) -> tuple[Cause, Overrun] | None:
        """What the kernel has refused to an executor, if anything."""
        return None

    def kill(self, _name: str) -> bool:
        """Kill all that is inside; False if nothing could be done."""
        return False

    def remove(self, _name: str) -> None:
        """It is over: nothing is left of its group, soon."""

    def tidy(self) -> None:
        """Once more for groups that could not be removed."""

    def keep_only(self, _names: Collection[str]) -> None:
        """End and remove all other groups of this node."""

    def close(self) -> None:
        """Nothing is left of the node's own group, if it is empty."""


class Groups(Enforcement, ABC):
    """What the two versions of control groups have in common.

    Args:
        roots: The node's own group, in each tree.
        text: How limits are held, for people.
    """

    def __init__(self, roots: Mapping[str, Path], text: str) -> None:
        super().__init__(text)
        self.roots = dict(roots)
        self._over: set[str] = set()

    @abstractmethod
    def settings(self, tree: str, limits: Limits) -> dict[str, str]:
        """What is written into the files of a fresh group; a name with a `?` need not exist."""

    @abstractmethod
    def kill(self, name: str) -> bool:
        """Kill all that is inside; False if nobody is, or somebody resists."""

    @property
    def has_groups(self) -> bool:
        """Always."""
        return True

    def holds(self, name: str) -> bool:
        """By what is there, whoever made it."""
        return all((folder / PROCS).exists() for folder in self.folders(name).values())

    def make(self, name: str, limits: Limits) -> tuple[Path, ...]:
        """A group in each tree, with its limits set."""
        folders = self.folders(name)
        for tree, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            for file, value in self.settings(tree, limits).items():
                path = folder / file.rstrip("?")
                if not file.endswith("?") or path.exists():
                    path.write_text(value)
        return tuple(folder / PROCS for folder in folders.values())

    def remove(self, name: str) -> None:
        """Kill what is left inside, and remove the groups, at once if they let us."""
        self._over.add(name)
        self.tidy()

    def tidy(self) -> None:
        """Once more for those that resisted."""
        for over in tuple(self._over):
            if members(self.folders(over).values()):
                self.kill(over)
            for folder in self.folders(over).values():
                with suppress(OSError):
                    folder.rmdir()
            if not any(folder.exists() for folder in self.folders(over).values()):
                self._over.discard(over)

    def keep_only(self, names: Collection[str]) -> None:
        """By what lies in the node's own group."""
        kept = {_short(name) for name in names}
        for root in self.roots.values():
            for folder in root.iterdir() if root.is_dir() else ():
                if folder.is_dir() and folder.name not in kept:
                    self.remove(folder.name)

    def close(self) -> None:
        """What is left of executors that go on stays."""
        for root in self.roots.values():
            with suppress(OSError):
                root.rmdir()

    def folders(self, name: str) -> dict[str, Path]:
        """The groups of an executor, by tree."""
        return {tree: root / _short(name) for tree, root in self.roots.items()}


def members(folders: Collection[Path]) -> list[int]:
    """The processes inside any of these groups."""
    found: set[int] = set()
    for folder in folders:
        with suppress(OSError):
            found.update(map(int, (folder / PROCS).read_text().split()))
    return sorted(found - {0})


def signal_members(folders: Collection[Path]) -> None:
    """SIGKILL to each process inside, once."""
    for pid in members(folders):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_members(folders: Collection[Path]) -> bool:
    """Kill until nobody is inside; False if somebody still is after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while any(map(_runs, members(folders))):
        signal_members(folders)
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


def count_in(path: Path, row: str = "") -> int:
    """A number that the kernel tells: of a row, or the file's only one; 0 where there is none."""
    with suppress(OSError, ValueError):
        text = path.read_text()
        if not row:
            return int(text)
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{row} ")), 0)
    return 0


def _runs(pid: int) -> bool:
    """Whether it has not ended: who ended and was not reaped yet is listed too."""
    found = ProcessId.of(pid)
    return found is not None and found.alive()


def _short(name: str) -> str:
    return name.replace("/", ".")[-_MOST_NAME:]
