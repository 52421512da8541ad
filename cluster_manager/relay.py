"""Passes on the events of every node to one reader, and keeps none.

Where a node's stream breaks after something of it was passed on, the whole ends: the reader knows how far it has come
and asks again from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue

from cluster_manager.nodes import FIRST_PAUSE_S, LAST_PAUSE_S, Member
from node_manager.client import EventStream, NodeUnavailable

WAITING = 1_000
LOOK_EVERY_S = 1.0


class Relay:
    """One reader's events. Each node is read by a thread of its own."""

    def __init__(self, since: Mapping[str, int]) -> None:
        self._since = since
        self._waiting: Queue[bytes | None] = Queue(WAITING)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._streams: dict[str, EventStream] = {}

    def begin(self, members: Iterable[Member]) -> None:
        """Read these nodes."""
        for member in members:
            name = f"events {member.address}"
            threading.Thread(target=self._follow, args=(member,), name=name, daemon=True).start()

    def documents(self, listening: Callable[[], bool]) -> Iterator[bytes]:
        """What the nodes tell, for as long as somebody listens and no stream breaks."""
        while listening() and not self._over.is_set():
            with suppress(Empty):
                if (document := self._waiting.get(timeout=LOOK_EVERY_S)) is not None:
                    yield document

    def end(self) -> None:
        """Read nothing more, and let the reader go."""
        self._over.set()
        with self._lock:
            for stream in self._streams.values():
                stream.close()
        with suppress(Full):  # then the reader is awake
            self._waiting.put_nowait(None)

    def _follow(self, member: Member) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._over.is_set():
            if self._read(member):
                self.end()
            self._over.wait(pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    def _read(self, member: Member) -> bool:
        """Read a node until its stream breaks; whether anything of it was passed on."""
        passed_on = False
        with suppress(NodeUnavailable):
            with self._lock:
                stream = self._streams[member.address] = member.client.events(self._since)
                if self._over.is_set():
                    stream.close()
            for document in stream:
                self._pass_on(document)
                passed_on = True
        return passed_on

    def _pass_on(self, document: bytes) -> None:
        while not self._over.is_set():
            with suppress(Full):
                self._waiting.put(document, timeout=LOOK_EVERY_S)
                return
