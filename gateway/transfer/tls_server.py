"""The TLS server behind the front: whom it believes follows the trusted cards without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import grpc

from gateway.peers import PeerBook
from runtime.errors import PortInUse
from runtime.limits.headers import CALL_LIMITS
from runtime.rpc import server

# Threads are started as calls need them; the number is a ceiling.
TRANSFER_THREADS = 512  # some twenty times what one party may take of them
STREAMS_AT_ONCE = 64  # of one connection; what is more waits at its sender
MIN_PING_MS = 5_000
HANDSHAKE_MS = 10_000
_OPTIONS = (
    ("grpc.max_concurrent_streams", STREAMS_AT_ONCE),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    *CALL_LIMITS,
)


def tls_server(book: PeerBook, socket: Path, handshake_ms: int = HANDSHAKE_MS) -> grpc.Server:
    """A server on a Unix socket that lets in who shows a trusted certificate, not started yet. Raises PortInUse."""
    made = server("gateway", TRANSFER_THREADS, (*_OPTIONS, ("grpc.server_handshake_timeout_ms", handshake_ms)))
    first, changes = _Certificates(book).first()
    credentials = grpc.dynamic_ssl_server_credentials(first, changes, require_client_authentication=True)
    socket.unlink(missing_ok=True)
    try:
        made.add_secure_port(f"unix:{socket}", credentials)
    except RuntimeError as error:
        raise PortInUse(f"The socket {socket} cannot be opened: {error}.") from None
    socket.chmod(0o600)
    return made


class _Certificates:
    """What TLS shows and whom it believes. gRPC asks at every handshake, and takes a new answer only for a change."""

    def __init__(self, book: PeerBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._given: tuple[bytes, bytes, bytes] | None = None

    def first(self) -> tuple[grpc.ServerCertificateConfiguration, Callable[[], grpc.ServerCertificateConfiguration]]:
        """The answer now, and who is asked later: it answers None while nothing has changed."""
        return self._changed(), self._changed

    def _changed(self) -> grpc.ServerCertificateConfiguration:
        keys, roots = self._book.keys, self._book.roots
        wanted = (keys.tls_key_pem, keys.tls_cert_pem, roots)
        with self._lock:
            if wanted == self._given:
                return None
            self._given = wanted
        return grpc.ssl_server_certificate_configuration([wanted[:2]], root_certificates=roots)
