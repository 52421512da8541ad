"""One connection at the party's public port, and the bytes that are carried unread between its two ends."""

from __future__ import annotations

import socket
from contextlib import suppress

CHUNK_BYTES = 256 << 10
CHUNKS_A_TURN = 8  # then the others have their turn
MIN_ANSWER_BYTES = 200  # a caller's certificate has more; its own alert has less


class Pump:
    """One direction, without blocking. The buffer is shared: it holds nothing between two calls."""

    def __init__(self, source: socket.socket, sink: socket.socket, buffer: memoryview) -> None:
        self._source = source
        self._sink = sink
        self._buffer = buffer
        self._left = b""
        self.moved = 0
        self.ended = False

    def move(self) -> bool:
        """Carry what is there; True if there may be more at once. Raises OSError when an end is broken."""
        for _ in range(CHUNKS_A_TURN):
            if self._left and not self._push(memoryview(self._left)):
                return False
            if self.ended:
                return False
            try:
                count = self._source.recv_into(self._buffer)
            except BlockingIOError:
                return False
            self.moved += count
            if not count:
                self.ended = True
                self._sink.shutdown(socket.SHUT_WR)
                return False
            if not self._push(self._buffer[:count]):
                return False
        return True

    def _push(self, data: memoryview) -> bool:
        """Write until all is gone or the sink takes no more, which is then kept."""
        at = 0
        try:
            while at < len(data):
                at += self._sink.send(data[at:])
        except BlockingIOError:
            self._left = bytes(data[at:])
            return False
        self._left = b""
        return True


class Connection:
    """A caller, and once its first message is there, the connection to our TLS server that is made for it.

    Attributes:
        outer: The caller's socket.
        network: What counts as its address; host: the address itself.
        inner: Our side's socket; None while the first message is awaited.
        name: The inner socket's own address, by which the TLS server knows it.
        deadline: When it is closed, monotonic; None for a caller who has shown who it is.
        claim: The server name in its first message.
        hello_bytes: The size of that message.
        party: Who it is, once recognised.
        turned_away: Whether our TLS server ended it after it had shown a certificate.
    """

    def __init__(self, outer: socket.socket, host: str, network: str, deadline: float) -> None:
        self.outer = outer
        self.host = host
        self.network = network
        self.inner: socket.socket | None = None
        self.name = ""
        self.deadline: float | None = deadline
        self.claim = ""
        self.hello_bytes = 0
        self.party = ""
        self.turned_away = False
        self._pumps: tuple[Pump, Pump] | None = None

    def let_in(self, inner: socket.socket, buffer: memoryview) -> None:
        """Carry bytes to and from `inner` from now on."""
        self.inner = inner
        self.name = inner.getsockname()[1:].decode()
        self._pumps = (Pump(self.outer, inner, buffer), Pump(inner, self.outer, buffer))

    def carry(self) -> bool:
        """Carry what is there, both ways; True if there may be more. Raises OSError when an end is broken."""
        if self._pumps is None:
            return False
        inward, outward = self._pumps
        more = [inward.move(), outward.move()]
        if outward.ended and not inward.ended and not self.party:
            self.turned_away = inward.moved > self.hello_bytes + MIN_ANSWER_BYTES
        return any(more)

    @property
    def ending(self) -> bool:
        """Whether one side has said its last."""
        return self._pumps is not None and any(pump.ended for pump in self._pumps)

    @property
    def over(self) -> bool:
        """Whether both sides have."""
        return self._pumps is not None and all(pump.ended for pump in self._pumps)

    def close(self) -> None:
        """Let both ends go."""
        for end in (self.outer, self.inner):
            if end is not None:
                with suppress(OSError):
                    end.close()
