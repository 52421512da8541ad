"""In how many pieces a request may come: what h11 parses of a connection, and how much of it for how few bytes.

Each piece costs the server's only thread a step, however small it is: a line of a head or of trailers, a chunk, a
read that brought no whole one of these. Whoever sends pieces that are too small is not heard any longer: what still
comes is dropped before it is looked at.
"""

from __future__ import annotations

from typing import TypeVar

import h11
from h11._receivebuffer import ReceiveBuffer

T = TypeVar("T")

FREE_PIECES = 128  # of a request, and of all that were sent before the answer to the first
LEAST_BYTES = 256  # of a body that each further piece must bring, in the mean
MAX_LINES_BYTES = 16 << 10  # of a head, and of trailers


class Pieces(ReceiveBuffer):
    """What has come and is not parsed; h11 takes every piece from here."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = False
        self._left = FREE_PIECES * LEAST_BYTES

    def begin_request(self) -> None:
        """Another request comes. One that was here already shares what was allowed to the one before it."""
        if not self:
            self._left = FREE_PIECES * LEAST_BYTES

    def __iadd__(self, more: bytes | bytearray) -> Pieces:
        """Take what has come, or drop it."""
        if not self.refused:
            super().__iadd__(more)
        return self

    def maybe_extract_at_most(self, count: int) -> bytearray | None:
        """A part of a body, and what stands between two chunks."""
        data = super().maybe_extract_at_most(count)
        return self._allowed(data, 0 if data else 1, len(data or b""))

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk."""
        return self._allowed(super().maybe_extract_next_line(), 1)

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """A head, or trailers."""
        lines = super().maybe_extract_lines()
        if lines is None:
            return self._allowed(lines, 1)
        if sum(map(len, lines)) > MAX_LINES_BYTES:
            self._refuse()
            return None
        return self._allowed(lines, len(lines))

    def _allowed(self, taken: T | None, pieces: int, body_bytes: int = 0) -> T | None:
        self._left += body_bytes - pieces * LEAST_BYTES
        if self._left >= 0:
            return taken
        self._refuse()
        return None

    def _refuse(self) -> None:
        self.refused = True
        self._data.clear()


class Conversation(h11.Connection):
    """HTTP with one client, in pieces that are counted."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_LINES_BYTES)
        self._receive_buffer: Pieces = Pieces()

    @property
    def refused(self) -> bool:
        """Whether what comes is not heard any longer."""
        return self._receive_buffer.refused

    def start_next_cycle(self) -> None:
        """The answer to one request is done: another may come."""
        super().start_next_cycle()
        self._receive_buffer.begin_request()
