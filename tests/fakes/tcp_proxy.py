"""A TCP connection in the middle that can stall after some bytes and be cut: what a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading

BLOCK = 64 << 10


class TcpProxy:
    """Listens on a free port and forwards to another; `stall_after` bytes from the caller it stands still."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Condition()
        self._open: set[socket.socket] = set()
        self._stall_after: int | None = None
        self._closed = False
        self.forwarded = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def stall_after(self, size: int | None) -> None:
        with self._lock:
            self._stall_after = None if size is None else self.forwarded + size
            self._lock.notify_all()

    def wait_for_stall(self, timeout_s: float = 20) -> None:
        with self._lock:
            assert self._lock.wait_for(self._stalled, timeout_s)

    def cut(self) -> None:
        """Close all connections and let new ones pass."""
        with self._lock:
            self._stall_after = None
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._lock.notify_all()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self.cut()

    def _stalled(self) -> bool:
        return self._stall_after is not None and self.forwarded >= self._stall_after

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            try:
                target = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                caller.close()
                continue
            with self._lock:
                self._open |= {caller, target}
            threading.Thread(target=self._forward, args=(caller, target, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(target, caller, False), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                if counted:
                    with self._lock:
                        self._lock.wait_for(lambda: not self._stalled())
                        self.forwarded += len(data)
                        self._lock.notify_all()
                sink.sendall(data)
        with self._lock:
            self._open -= {source, sink}
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
