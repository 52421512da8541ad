"""A brake on guessing: after a few wrong answers under a name, each further one must wait longer.

A name says who is guessed at and whence: whoever guesses delays all who come under the same name, after each wrong
answer by at most `LONGEST_S`, for as long as the guessing goes on, and nobody under another name. Beside it stand
turns: so many answers are looked at or wait at the same time, and so many of one network.

Both hold a bounded number of names in memory, however long a name is.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from runtime.clock import Clock
from runtime.errors import TooManyGuesses
from runtime.limits.pauses import doubled_s

FREE = 5  # wrong answers that cost nothing: people mistype
FIRST_S = 1.0
LONGEST_S = 60.0
FORGET_S = 15 * 60.0
MAX_NAMES = 10_000
TURNS = 4  # each may take a tenth of a second
TURNS_OF_ONE = 2


@dataclass(frozen=True)
class _Wrong:
    """How often in a row, when last, and from when on the next answer is looked at (monotonic seconds)."""

    count: int
    at_s: float
    next_s: float


class Brake:
    """Counts wrong answers by name. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[bytes, _Wrong] = OrderedDict()

    def admit(self, name: str) -> None:
        """Return if an answer under this name may be looked at now, and count it as wrong until `right`.

        Counting first leaves no gap in which many answers are looked at together. Raises TooManyGuesses.
        """
        now, key = self._clock.monotonic(), _key(name)
        with self._lock:
            wait_s = self._of(key, now).next_s - now
            if wait_s > 0:
                seconds = int(wait_s) + 1
                raise TooManyGuesses(
                    "There were too many wrong passwords.", hint=f"Try again in {seconds} seconds.", retry_s=seconds
                )
            self._count(key, now)

    def right(self, name: str) -> None:
        """The answer was right: it is not counted. Those before it stay: one's own account hides no other guess."""
        now, key = self._clock.monotonic(), _key(name)
        with self._lock:
            if known := self._wrong.get(key):
                self._wrong[key] = _Wrong(known.count - 1, known.at_s, now)

    def _of(self, key: bytes, now: float) -> _Wrong:
        known = self._wrong.get(key)
        return known if known and now - known.at_s < FORGET_S else _Wrong(0, now, now)

    def _count(self, key: bytes, now: float) -> None:
        count = self._of(key, now).count + 1
        delay_s = doubled_s(FIRST_S, count - FREE, LONGEST_S) if count >= FREE else 0.0
        self._wrong[key] = _Wrong(count, now, now + delay_s)
        self._wrong.move_to_end(key)
        while len(self._wrong) > MAX_NAMES:
            self._wrong.popitem(last=False)


class Turns:
    """How many answers may be looked at or wait for it, which is dear: in all, and of one network. Thread-safe."""

    def __init__(self, most: int = TURNS, of_one: int = TURNS_OF_ONE) -> None:
        self._most = most
        self._of_one = of_one
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, network: str) -> Iterator[None]:
        """A turn, until the block ends. Raises TooManyGuesses at once if there is none."""
        with self._lock:
            if self._taken.total() >= self._most or self._taken[network] >= self._of_one:
                raise TooManyGuesses("Too many passwords are being looked at.", hint="Try again in a few seconds.")
            self._taken[network] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[network] -= 1
                self._taken += Counter()  # drops those that have none


def _key(name: str) -> bytes:
    return sha256(name.encode(errors="surrogatepass")).digest()
