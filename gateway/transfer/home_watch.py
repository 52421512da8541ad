"""Follows changes of keys and cards in the home, whoever made them and whether or not he told the gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from runtime.errors import PlatformError
from runtime.log import get_logger

LOOK_EVERY_S = 2.0
_WATCHED = ("card.json", "keys/tls.*", "keys/*.key", "trusted/*.json")
_log = get_logger("gateway")

State = tuple[tuple[str, int, int, int], ...]


class HomeWatch:
    """Calls `changed` when the files are others than before, from a thread of its own.

    Args:
        root: The home.
        known: What `files_of` said before the files were read, so that no change since then is missed.
        changed: Takes the change up; a PlatformError or OSError that it raises is the problem, and it is tried again.
        always: Called at each look.
    """

    def __init__(self, root: Path, known: State, changed: Callable[[], None], always: Callable[[], None]) -> None:
        self._root = root
        self._changed = changed
        self._always = always
        self._known = known
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-home-watch", daemon=True)
        self.problem = ""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        self._thread.join()

    def look(self) -> None:
        """Look once. A change that cannot be taken up is tried again at each look."""
        now = files_of(self._root)
        if now != self._known:
            try:
                self._changed()
            except (PlatformError, OSError) as error:
                if self.problem != str(error):
                    code = error.code if isinstance(error, PlatformError) else ""
                    _log.error("A change of keys or cards cannot be taken up", code=code, reason=str(error))
                self.problem = str(error)
                return
            self._known, self.problem = now, ""
        self._always()

    def _run(self) -> None:
        while not self._ending.wait(LOOK_EVERY_S):
            self.look()


def files_of(root: Path) -> State:
    """What tells one state of the watched files from another: name, number, size and time of each."""
    found = []
    for pattern in _WATCHED:
        for path in sorted(root.glob(pattern)):
            try:
                status = path.stat()
            except OSError:
                continue  # replaced at this moment: the next look sees it
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
