"""The party's public port: one thread takes every connection, and lets to TLS only whose first message is whole.

A connection that has not shown who it is costs one descriptor; there is a limit of them (connection_caps.py) and of
their time. What passes is carried unread to the TLS server behind, on a Unix socket that only this user may open; a
caller counts as known once that server has recognised a trusted party on it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.transfer.client_hello import RECORD_HEADER_BYTES, NotTls, bytes_wanted, server_name
from gateway.transfer.connection_caps import Caps
from gateway.transfer.relay import CHUNK_BYTES, Connection
from runtime.addresses import HostPort
from runtime.errors import PortInUse
from runtime.limits.tally import Tally
from runtime.limits.waiting_room import WaitingRoom, network_of
from runtime.log import get_logger

BACKLOG = 1024
ACCEPTS_A_TURN = 64
SILENCE_MS = 20_000  # unacknowledged bytes for so long: the line is cut
_ANYTHING = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_log = get_logger("gateway")

DIED = 1

TurnedAway = Callable[[str, str], None]


@dataclass(frozen=True)
class FrontTimes:
    """How long what may last, in seconds.

    Attributes:
        show_s: Until a caller must have shown who it is.
        linger_s: How long one side may stay after the other has said its last.
        look_every_s: Between two looks at deadlines.
        pause_s: How long nobody comes in while no descriptor is left.
    """

    show_s: float = 10.0
    linger_s: float = 2.0
    look_every_s: float = 0.5
    pause_s: float = 0.5


class Front:
    """See the module.

    Args:
        listen: The public address.
        inner: The socket of the TLS server.
        caps: How many may wait.
        turned_away: Told the address, and the server name asked for, of a caller that TLS turned away.
        died: Called when the thread ends unasked: the process must not live on behind a closed port.
        times: How long what may last.
    """

    def __init__(
        self,
        listen: HostPort,
        inner: Path,
        caps: Caps,
        turned_away: TurnedAway,
        died: Callable[[], None] = lambda: os._exit(DIED),
        times: FrontTimes = FrontTimes(),
    ) -> None:
        self._times = times
        self._died = died
        self._inner = str(inner)
        self._caps = caps
        self._turned_away = turned_away
        self._greeting: WaitingRoom[Connection] = WaitingRoom(caps.greeting)
        self._handshaking: WaitingRoom[Connection] = WaitingRoom(caps.handshaking)
        self._by_descriptor: dict[int, Connection] = {}
        self._by_name: dict[str, Connection] = {}
        self._by_party: dict[str, dict[Connection, None]] = {}
        self._busy: dict[Connection, None] = {}
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
        self._requests: deque[tuple[str, Connection | None]] = deque()
        self._closings = Tally(
            lambda reasons: _log.warning("Connections were closed before they showed who they are", reasons=reasons)
        )
        self._looked_at = 0.0
        self._resume_at: float | None = None
        self._stopping = False
        self._listener = _listener(listen)
        self._waker, self._wake = socket.socketpair()
        for quiet in (self._listener, self._waker, self._wake):
            quiet.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._waker, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="gateway-front", daemon=True)

    def start(self) -> None:
        """Take connections."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._stopping = True
        self._wake_up()
        if self._thread.ident is not None:
            self._thread.join()
        for connection in set(self._by_descriptor.values()):
            connection.close()
        self._epoll.close()
        for ours in (self._listener, self._waker, self._wake):
            ours.close()

    def recognised(self, peer: str, party: str) -> None:
        """The TLS server has recognised the party on the connection that it calls `peer`. From any thread."""
        connection = self._by_name.get(peer.partition(":")[2])
        if connection is not None and not connection.party:
            connection.party = party
            self._requests.append((party, connection))
            self._wake_up()

    def dismiss(self, party: str) -> None:
        """Close the party's connections: it shows itself again. From any thread."""
        self._requests.append((party, None))
        self._wake_up()

    def _wake_up(self) -> None:
        with suppress(BlockingIOError, OSError):
            self._wake.send(b"w")

    def _run(self) -> None:
        try:
            self._serve_all()
        finally:
            if not self._stopping:
                _log.critical("The public port's thread died", exc_info=True)
                self._died()

    def _serve_all(self) -> None:
        while not self._stopping:
            for descriptor, happened in self._epoll.poll(self._timeout_s()):
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor == self._waker.fileno():
                    self._follow_requests()
                else:
                    self._serve(descriptor, happened)
            for connection in list(self._busy):
                self._carry(connection)
            self._look()

    def _timeout_s(self) -> float | None:
        if self._busy:
            return 0
        waiting = self._greeting or self._handshaking or self._resume_at is not None
        return self._times.look_every_s if waiting or self._lingers() else None

    def _lingers(self) -> bool:
        return any(connection.deadline is not None for known in self._by_party.values() for connection in known)

    # The public port

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                outer, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as problem:
                self._out_of(problem)
                return
            self._greet(outer, address[0])

    def _out_of(self, problem: OSError) -> None:
        """No descriptor is left: whoever waits longest goes, else nobody comes in for a while."""
        self._closings.count(f"no room for a connection ({problem.strerror})")
        oldest = self._greeting.longest() or self._handshaking.longest()
        if problem.errno in _EXHAUSTED and oldest is not None:
            self._close(oldest)
            return
        self._epoll.unregister(self._listener)
        self._resume_at = time.monotonic() + self._times.pause_s

    def _greet(self, outer: socket.socket, host: str) -> None:
        connection = Connection(outer, host, network_of(host), time.monotonic() + self._times.show_s)
        self._by_descriptor[outer.fileno()] = connection
        for oldest in self._greeting.enter(connection, connection.network):
            self._close(oldest, "too many that have not begun")
        try:
            outer.setblocking(False)
            outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
            outer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._epoll.register(outer, _ANYTHING)
        except OSError as problem:
            self._close(connection, f"no room for a connection ({problem.strerror})")

    # One connection

    def _serve(self, descriptor: int, happened: int) -> None:
        connection = self._by_descriptor.get(descriptor)
        if connection is None:
            return
        if connection.inner is not None:
            self._carry(connection)
        elif happened & _GONE:
            self._close(connection)
        elif happened & select.EPOLLIN:
            self._read_hello(connection)

    def _read_hello(self, connection: Connection) -> None:
        """Look whether the first record is whole; if not, be woken when it is."""
        outer = connection.outer
        try:
            begun = outer.recv(RECORD_HEADER_BYTES + 1, socket.MSG_PEEK)
            wanted = bytes_wanted(begun)
            begun = outer.recv(wanted, socket.MSG_PEEK)
            wanted = bytes_wanted(begun)
            outer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted if len(begun) < wanted else 1)
        except NotTls:
            self._close(connection, "no TLS")
            return
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        if len(begun) == wanted:
            connection.claim, connection.hello_bytes = server_name(begun), wanted
            self._let_in(connection)

    def _let_in(self, connection: Connection) -> None:
        self._greeting.leave(connection, connection.network)
        inner = None
        try:
            inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            inner.setblocking(False)
            inner.bind("")  # a name of the system's choice, which the server sees
            inner.connect(self._inner)
        except OSError as problem:
            if inner is not None:
                inner.close()
            self._close(connection, f"no room for a handshake ({problem.strerror})")
            return
        connection.let_in(inner, self._buffer)
        self._by_descriptor[inner.fileno()] = connection
        self._by_name[connection.name] = connection
        for oldest in self._handshaking.enter(connection, connection.network):
            self._close(oldest, "too many in the handshake")
        try:
            self._epoll.register(inner, _ANYTHING)
        except OSError as problem:
            self._close(connection, f"no room for a handshake ({problem.strerror})")
            return
        self._carry(connection)

    def _carry(self, connection: Connection) -> None:
        self._busy.pop(connection, None)
        try:
            more = connection.carry()
        except OSError:
            self._close(connection)
            return
        if connection.over:
            self._close(connection)
        elif connection.ending and connection.deadline is None:
            connection.deadline = time.monotonic() + self._times.linger_s
        elif more:
            self._busy[connection] = None

    def _close(self, connection: Connection, why: str = "") -> None:
        if self._by_descriptor.pop(connection.outer.fileno(), None) is None:
            return
        if connection.inner is not None:
            self._by_descriptor.pop(connection.inner.fileno(), None)
            self._by_name.pop(connection.name, None)
        self._greeting.leave(connection, connection.network)
        self._handshaking.leave(connection, connection.network)
        self._busy.pop(connection, None)
        self._by_party.get(connection.party, {}).pop(connection, None)
        connection.close()
        if connection.turned_away:
            self._turned_away(connection.host, connection.claim)
        if why:
            self._closings.count(why)

    # What other threads ask for, and what time brings

    def _follow_requests(self) -> None:
        with suppress(BlockingIOError):
            self._waker.recv(4096)
        while self._requests:
            party, connection = self._requests.popleft()
            if connection is None:
                for known in list(self._by_party.get(party, ())):
                    self._close(known)
            elif self._by_name.get(connection.name) is connection:
                self._admit(party, connection)

    def _admit(self, party: str, connection: Connection) -> None:
        self._handshaking.leave(connection, connection.network)
        connection.deadline = None
        known = self._by_party.setdefault(party, {})
        known[connection] = None
        if len(known) > self._caps.of_one_party:
            self._close(next(iter(known)), f"too many connections of {party}")

    def _look(self) -> None:
        now = time.monotonic()
        if self._resume_at is not None and now >= self._resume_at:
            try:
                self._epoll.register(self._listener, select.EPOLLIN)
                self._resume_at = None
            except OSError as problem:
                self._resume_at = now + self._times.pause_s
                self._closings.count(f"no room for the port ({problem.strerror})")
        if now - self._looked_at < self._times.look_every_s:
            return
        self._looked_at = now
        for connection in set(self._by_descriptor.values()):
            if connection.deadline is not None and now >= connection.deadline:
                self._close(connection, "" if connection.party else "has not shown who it is in time")


def _listener(listen: HostPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    both = listen.host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(listen, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise PortInUse(
            f"{listen} (gateway.listen) cannot be opened: {error.strerror or error}.",
            hint="Change gateway.listen in party.toml.",
        ) from None
