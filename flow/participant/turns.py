"""One order at a time about the same job or task: what was read before something is done is still so afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

STRIPES = 64


class Turns:
    """Locks by name; two names may share one."""

    def __init__(self) -> None:
        self._locks = [Lock() for _ in range(STRIPES)]

    @contextmanager
    def of(self, *name: str) -> Iterator[None]:
        """Wait until nobody else is at it."""
        with self._locks[hash(name) % STRIPES]:
            yield
