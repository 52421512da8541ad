"""Whether what this party stands on works: tried, not believed, and each within a time limit.

The answer is kept for two seconds, so that whoever asks often costs little; whoever asks while it is being renewed gets
the last one and does not wait. A check that has not come back is not started again; until it does, its room does not
answer.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

from runtime.disk.faults import refusals, refuse_unwritable
from runtime.disk.room import lacks_room
from runtime.errors import DiskFull, PlatformError, Unavailable
from runtime.text import size

KEPT_S = 2.0
LIMIT_S = 3.0
STALE_S = 10.0  # nobody had asked: then it is waited for

Check = Callable[[], str]


@dataclass(frozen=True)
class Vital:
    """One thing that was tried: `text` says what is wrong with it, or how much of it is left."""

    room: str
    ok: bool
    text: str = ""


class Vitals:
    """Tries each check, all at once. A check returns a text for people, or raises a PlatformError or OSError."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        monotonic: Callable[[], float] = time.monotonic,
        kept_s: float = KEPT_S,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._checks = checks
        self._monotonic = monotonic
        self._kept_s = kept_s
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._asked: dict[str, Future[str]] = {}
        self._known: tuple[Vital, ...] = ()
        self._known_at = 0.0

    def now(self) -> Sequence[Vital]:
        """Every check's outcome: at most `kept_s` old, or the one before while another caller renews it."""
        stale = not self._known or self._monotonic() - self._known_at >= STALE_S
        if not self._lock.acquire(blocking=stale):
            return self._known
        try:
            if not self._known or self._monotonic() - self._known_at >= self._kept_s:
                self._known = self._try_all()
                self._known_at = self._monotonic()
            return self._known
        finally:
            self._lock.release()

    def _try_all(self) -> tuple[Vital, ...]:
        for room, check in self._checks.items():
            if room not in self._asked:
                self._asked[room] = _begun(room, check)
        deadline = self._monotonic() + self._limit_s
        return tuple(self._outcome(room, deadline) for room in self._checks)

    def _outcome(self, room: str, deadline: float) -> Vital:
        asked = self._asked[room]
        wait([asked], max(0.0, deadline - self._monotonic()))
        if not asked.done():
            return Vital(room, False, f"It did not answer within {self._limit_s:g} seconds.")
        del self._asked[room]
        problem = asked.exception()
        if problem is None:
            return Vital(room, True, asked.result())
        return Vital(room, False, problem.message if isinstance(problem, PlatformError) else str(problem))


def _begun(room: str, check: Check) -> Future[str]:
    """The check in a thread that keeps no process from its end."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(check())
        except (PlatformError, OSError) as problem:
            outcome.set_exception(problem)
        finally:  # of a defect the thread tells; whoever waits is not left waiting
            if not outcome.done():
                outcome.set_exception(CheckBroken("The check itself failed; the log of flow says how."))

    threading.Thread(target=run, name=f"flow-vital-{room}", daemon=True).start()
    return outcome


class CheckBroken(Unavailable):
    """What should tell whether a service works has a defect of its own."""

    code = "flow.check_broken"


def disk(folders: Callable[[], Iterable[Path]]) -> Check:
    """A check that a file can be written into each folder, and that its disk has room; says how much of the first."""

    def check() -> str:
        first, *_ = [_room_of(folder) for folder in folders()]
        return first

    return check


def _room_of(folder: Path) -> str:
    with refusals(folder):
        usage = shutil.disk_usage(folder)
    refuse_unwritable(folder)
    left = f"{size(usage.free)} of {size(usage.total)} free"
    if lacks_room(folder):
        raise DiskFull(f"The disk under {folder} is full: {left}.", hint="Make room; nothing needs a restart.")
    return left
