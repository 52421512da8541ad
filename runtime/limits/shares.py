"""A pool of threads of which nobody takes more than a share, however slow what is done for them is."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

Work = Callable[[], object]


class SharedPool:
    """Runs work in its threads, at most `most` pieces at once for each; what is beyond waits in its own line."""

    def __init__(self, threads: int, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = most
        self._lock = Lock()
        self._running: Counter[Hashable] = Counter()
        self._lines: defaultdict[Hashable, deque[Work]] = defaultdict(deque)

    def submit(self, who: Hashable | None, work: Work) -> None:
        """Run a piece of work for somebody; for None it counts as nobody's. Raises RuntimeError after `shutdown`."""
        if who is None:
            self._pool.submit(work)
            return
        with self._lock:
            if self._running[who] >= self._most:
                self._lines[who].append(work)
                return
            self._running[who] += 1
        self._pool.submit(self._run, who, work)

    def shutdown(self, *, wait: bool) -> None:
        """Forget what waits; what runs is finished."""
        with self._lock:
            self._lines.clear()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _run(self, who: Hashable, work: Work) -> None:
        try:
            work()
        finally:
            self._next(who)

    def _next(self, who: Hashable) -> None:
        """Behind what others wait for by now, so that they have their turn."""
        with self._lock:
            line = self._lines.get(who)
            work = line.popleft() if line else None
            if not line:
                self._lines.pop(who, None)
            if work is None:
                self._running[who] -= 1
                if not self._running[who]:
                    del self._running[who]
                return
        with suppress(RuntimeError):  # shut down meanwhile
            self._pool.submit(self._run, who, work)
