"""One order at a time about the same job: what was read before something is done is still so afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

STRIPES = 64
MOST_OVER = 4096


class JobLocks:
    """Locks by job, two jobs may share one; and which jobs were over before this party heard of them.

    The second is not stored: an order that is still on its way does not survive a restart of this Flow.
    """

    def __init__(self) -> None:
        self._locks = [Lock() for _ in range(STRIPES)]
        self._over: OrderedDict[tuple[str, str], None] = OrderedDict()

    @contextmanager
    def of(self, job: str) -> Iterator[None]:
        """Wait until nobody else is at it."""
        with self._locks[hash(job) % STRIPES]:
            yield

    def end_unknown(self, job: str, caller: str) -> None:
        """A job that is not known here is over, says the caller, who may lead it."""
        self._over[job, caller] = None
        if len(self._over) > MOST_OVER:
            self._over.popitem(last=False)

    def is_over(self, job: str, caller: str) -> bool:
        """Whether the caller ended the job before it became known here."""
        return (job, caller) in self._over
