"""How much of a service one caller may take: so many calls at a time of each kind, and none that stays silent.

A thread is taken when a call comes in, before its first byte is read. So a call is counted against its caller before
it is waited for, and one whose next message does not come in time is ended; whoever floods a service shuts out itself.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

import grpc

from gateway.errors import BadEnvelope, CallerGone, TooMuchAtOnce
from runtime.log import get_logger

T = TypeVar("T")
LOOK_EVERY_S = 1.0
_log = get_logger("gateway")


class Cancellable(Protocol):
    """What the watch needs of a call."""

    def cancel(self) -> None:
        """End it; whoever reads its messages gets an error."""


class Visit:
    """One call that was let in. Its messages are read through `messages` or `only`."""

    def __init__(self, caller: str, kind: str, call: Cancellable) -> None:
        self._caller = caller
        self._kind = kind
        self._call = call
        self._silent_since: float | None = None

    def messages(self, came: Iterator[T]) -> Iterator[T]:
        """The messages as they come. Raises CallerGone if the next one does not come, or not in time."""
        while True:
            self._silent_since = time.monotonic()
            try:
                message = next(came, None)
            except grpc.RpcError as gone:
                gone.__traceback__ = None  # gRPC keeps the error with the stream, which its traceback would keep open
                raise CallerGone(f"{self._caller} hung up, or was silent for too long.") from None
            finally:
                self._silent_since = None
            if message is None:
                return
            yield message

    def only(self, came: Iterator[T]) -> T:
        """The one message of a call that has no more. Raises BadEnvelope if there is none."""
        for message in self.messages(came):
            return message
        raise BadEnvelope("The call brings no message.")

    def look(self, now: float, silence_s: float) -> None:
        """End the call if it has been silent for too long."""
        since = self._silent_since
        if since is not None and now - since > silence_s:
            _log.warning("Ended a call whose caller stayed silent", peer=self._caller, kind=self._kind)
            self._call.cancel()


class Gate:
    """The gate of one service.

    Args:
        most: How many calls of each kind one caller may have at a time.
        silence_s: How long a caller may keep us waiting for its next message.
    """

    def __init__(self, most: Mapping[str, int], silence_s: float) -> None:
        self._most = dict(most)
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._inside: dict[tuple[str, str], int] = defaultdict(int)
        self._visits: set[Visit] = set()
        self._closed = threading.Event()

    @contextmanager
    def entered(self, caller: str, kind: str, call: Cancellable) -> Iterator[Visit]:
        """Count a call while it lasts. Raises TooMuchAtOnce if the caller has too many of this kind."""
        visit = Visit(caller, kind, call)
        with self._lock:
            if self._inside[caller, kind] >= self._most[kind]:
                raise TooMuchAtOnce(f"{caller} has {self._most[kind]} calls of kind '{kind}' at work here already.")
            self._inside[caller, kind] += 1
            self._visits.add(visit)
        try:
            yield visit
        finally:
            with self._lock:
                self._visits.discard(visit)
                self._inside[caller, kind] -= 1
                if not self._inside[caller, kind]:
                    del self._inside[caller, kind]

    def start(self) -> Callable[[], None]:
        """Watch for silence from now on; the function that is returned ends that."""
        thread = threading.Thread(target=self._watch, name="gateway-gate", daemon=True)
        thread.start()
        return self._closed.set

    def look(self, now: float) -> None:
        """End the calls that have been silent for too long at `now` (monotonic)."""
        with self._lock:
            visits = list(self._visits)
        for visit in visits:
            visit.look(now, self._silence_s)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.look(time.monotonic())
