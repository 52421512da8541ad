"""What our executors read: they wait here for messages, get their plain bytes, and let go of what they consumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeVar

from gateway.contract import check_size, check_value
from gateway.envelope import Conversation, Step, conversation_of
from gateway.errors import BadEnvelope
from gateway.executors.arrivals import Arrivals
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.refusals import Refusals
from gateway.mailbox.store import Mailbox, Message, Place
from gateway.peers import PeerBook
from party.seal import unseal
from runtime.errors import PlatformError
from storage.client import describe

T = TypeVar("T")
Incoming = tuple[str, str, Step]  # a message to an executor of ours: from, tag, step
OnGone = Callable[[Callable[[], None]], None]  # what is to be called when the caller is gone


class Inbox:
    """The way from the mailbox to our executors."""

    def __init__(self, mailbox: Mailbox, tokens: Tokens, book: PeerBook) -> None:
        self._mailbox = mailbox
        self._tokens = tokens
        self._book = book
        self._arrivals = Arrivals()
        self.refusals = Refusals(mailbox)
        self._whole_lock = threading.Lock()
        self._whole: set[str] = set()  # keys whose bytes this process has seen or checked
        self._stopping = False

    def take(self, token: str, incoming: Incoming, wait_s: float, on_gone: OnGone) -> Message | None:
        """The message, once it is here; waits up to `wait_s`, then None.

        Raises:
            TokenRefused: The token is unknown or was revoked while waiting.
            ContractViolation: No line of the contract lets the sender send this.
            JobClosed, MessageRefused: It will never come.
            MessageGone: It was read and released.
        """
        key = self._key(self._tokens.bearer(token), incoming)
        return self._waited(token, [key], lambda: self._mailbox.find(key), wait_s, on_gone)

    def expect(self, token: str, expected: Sequence[Incoming], wait_s: float, on_gone: OnGone) -> list[int]:
        """The positions of those that are here and not released; waits up to `wait_s` until there is one.

        Raises as `take` does.
        """
        bearer = self._tokens.bearer(token)
        keys = [self._key(bearer, incoming) for incoming in expected]
        here = self._waited(token, keys, lambda: self._mailbox.present(keys), wait_s, on_gone)
        return [position for position, key in enumerate(keys) if key in here]

    def open(self, message: Message) -> Place:
        """Where the plain bytes of a message lie. Raises BadEnvelope if a power cut took some of them."""
        if message.key not in self._whole:
            if sha256(message.place.buffer()).hexdigest() != message.sha256:
                raise BadEnvelope(
                    f"The stored body of {message.key} is damaged.", hint="The task goes on from its last checkpoint."
                )
            with self._whole_lock:
                self._whole.add(message.key)
        return self._unsealed(message) if message.sealed else message.place

    def release(self, bearer: Bearer, consumed: Iterable[Incoming]) -> None:
        """Let go of what the bearer has consumed."""
        keys = [_conversation(bearer, frm, tag).key(step) for frm, tag, step in consumed]
        self._mailbox.release(keys)
        with self._whole_lock:
            self._whole.difference_update(keys)

    def arrived(self, keys: Sequence[str]) -> None:
        """Messages are in the mailbox, and their bytes are those that their headers name."""
        with self._whole_lock:
            self._whole.update(keys)
        self._arrivals.arrived(keys)

    def stop(self) -> None:
        """Send every waiting executor away; it asks again when the gateway is back."""
        self._stopping = True
        self._arrivals.wake_all()

    def wake_all(self) -> None:
        """Tokens or refusals have changed: whoever waits looks again whether it may."""
        self._arrivals.wake_all()

    def forget_job(self, job: str) -> None:
        """The job is closed: wake those who still wait."""
        with self._whole_lock:
            self._whole = {key for key in self._whole if not key.startswith(f"{job}/")}
        self._tokens.forget()
        self._arrivals.wake_all()

    def _unsealed(self, message: Message) -> Place:
        """What was sealed to us, once it is what its line allows. Raises ContractViolation, CannotUnseal."""
        conversation = conversation_of(message.key)
        line = self._mailbox.contract(conversation.job).line(
            conversation.task, conversation.tag, conversation.frm, conversation.to
        )
        try:
            plain = unseal(self._book.keys, memoryview(message.place.buffer()).cast("B"), message.key.encode())
            check_size(line, len(plain))
            check_value(line, describe(plain))
        except PlatformError as error:
            self.refusals.kept(
                conversation.frm.partition(":")[2], conversation, message.place.size, message.sha256, error
            )
            raise
        return Place(len(plain), plain)

    def _waited(self, token: str, keys: Sequence[str], look: Callable[[], T], wait_s: float, on_gone: OnGone) -> T:
        """What `look` finds as soon as that is anything, at the latest after `wait_s`."""
        bearer = self._tokens.bearer(token)
        gone = threading.Event()
        deadline = time.monotonic() + wait_s
        with self._arrivals.waiting(keys) as event:

            def leave() -> None:
                gone.set()
                event.set()

            on_gone(leave)
            while True:
                event.clear()
                self._refuse_ended(token, bearer)
                found = look()
                left = deadline - time.monotonic()
                if found or gone.is_set() or self._stopping or left <= 0:
                    return found
                event.wait(left)

    def _key(self, bearer: Bearer, incoming: Incoming) -> str:
        frm, tag, step = incoming
        self._mailbox.contract(bearer.job).line(bearer.task, tag, frm, bearer.address)
        return _conversation(bearer, frm, tag).key(step)

    def _refuse_ended(self, token: str, bearer: Bearer) -> None:
        self._tokens.bearer(token)
        self._mailbox.contract(bearer.job)
        refusal = self._mailbox.refusal(bearer.job, bearer.task, bearer.attempt)
        if refusal is not None:
            raise refusal


def _conversation(bearer: Bearer, frm: str, tag: str) -> Conversation:
    return Conversation(bearer.job, bearer.task, bearer.attempt, frm, bearer.address, tag)
