"""Who answers calls for our own Flow: the newest subscriber is asked, each question has one answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from queue import SimpleQueue
from uuid import uuid4

from gateway.errors import CallTimeout, FlowSilent, NoSubscriber
from runtime.errors import PlatformError

OnGone = Callable[[Callable[[], None]], bool]  # what is to be called when the caller is gone; False if it is already


@dataclass(frozen=True)
class Question:
    """One call that waits for its answer."""

    id: str
    party: str
    method: str
    body: bytes


@dataclass(eq=False)
class Subscriber:
    """One subscriber: what it is asked comes through `questions`; None ends it."""

    questions: SimpleQueue[Question | None] = field(default_factory=SimpleQueue)
    waiting: dict[str, Future[bytes]] = field(default_factory=dict)


class Subscribers:
    """All subscribers of this gateway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Subscriber] = []
        self._closed = False

    def subscribe(self) -> Subscriber:
        """A new subscriber, asked from now on."""
        subscriber = Subscriber()
        with self._lock:
            self._all.append(subscriber)
            if self._closed:
                subscriber.questions.put(None)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The subscriber is gone; whoever waits for it is told."""
        with self._lock:
            if subscriber in self._all:
                self._all.remove(subscriber)
            waiting, subscriber.waiting = subscriber.waiting, {}
        subscriber.questions.put(None)
        for future in waiting.values():
            future.set_exception(_nobody("went away before it answered"))

    def ask(
        self, party: str, method: str, body: bytes, timeout_s: float, on_gone: OnGone = lambda _leave: True
    ) -> bytes:
        """The subscriber's answer; nobody waits for it any more once the caller is gone.

        Raises NoSubscriber, CallTimeout, FlowSilent, or what the subscriber raised.
        """
        question = Question(uuid4().hex, party, method, body)
        future: Future[bytes] = Future()
        started = time.monotonic()
        with self._lock:
            if not self._all:
                raise _nobody("is not there")
            subscriber = self._all[-1]
            subscriber.waiting[question.id] = future

        def leave() -> None:
            self.answered(subscriber, question.id, b"", CallTimeout(f"The caller of '{method}' has hung up."))

        subscriber.questions.put(question)
        try:
            if not on_gone(leave):
                leave()
            return future.result(timeout_s)
        except NotInTime:
            if future.done():
                raise
            spent = time.monotonic() - started
            raise FlowSilent(f"The Flow of that party did not answer '{method}' within {spent:.1f} s.") from None
        finally:
            with self._lock:
                subscriber.waiting.pop(question.id, None)
            del future  # it holds the error, whose traceback holds this frame and with it the stream of the caller

    def answered(self, subscriber: Subscriber, question: str, body: bytes, error: PlatformError | None) -> None:
        """An answer has come; one that nobody waits for any more is dropped."""
        with self._lock:
            future = subscriber.waiting.pop(question, None)
        if future is None:
            return
        if error is None:
            future.set_result(body)
        else:
            future.set_exception(error)

    def close(self) -> None:
        """Send every subscriber away."""
        with self._lock:
            self._closed = True
            seats = list(self._all)
        for subscriber in seats:
            self.unsubscribe(subscriber)


def _nobody(what: str) -> NoSubscriber:
    return NoSubscriber(f"The Flow of that party {what}.", hint="It may be restarting; try again.")
