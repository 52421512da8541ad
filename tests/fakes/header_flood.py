"""Raw HTTP/2 whose frames of headers name thousands of entries by a byte each, as no gRPC library would send them."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from party.home import PartyHome

REFERENCES = 4_000
_HEADERS, _SETTINGS, _PING, _END_HEADERS = 1, 4, 6, 4
_ALL_READ = b"all read"  # comes back once the frames before it were taken
_NEWEST = b"\xbe"  # the entry that was put last into the connection's own table
_STANDING = b"\x90"  # one of the table that every connection has

Connect = Callable[[], socket.socket]


def through_tls(home: PartyHome, target: PartyHome, folder: Path) -> Connect:
    """Connections of the party at `home` to the gateway of the party at `target`."""
    key, certificate = folder / "flood.key", folder / "flood.crt"
    key.write_bytes(home.keys.tls_key_pem)
    certificate.write_bytes(home.keys.tls_cert_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])

    def connect() -> socket.socket:
        made = socket.create_connection(target.settings.gateway_listen, 30)
        return context.wrap_socket(made, server_hostname=str(target.party))

    return connect


def flood(connect: Connect, method: str, connections: int, frames: int, look: Callable[[], None]) -> None:
    """Send so many frames on so many connections at once, three of four with long entries; look until all are read."""
    senders = [threading.Thread(target=_send, args=(connect, method, frames, n % 4 != 0)) for n in range(connections)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        look()
        senders[0].join(0.05)
        senders[-1].join(0.05)


def _send(connect: Connect, method: str, frames: int, long: bool) -> None:
    with suppress(OSError), connect() as line:  # the server may hang up on us
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        answers = threading.Thread(target=_read, args=(line,), daemon=True)
        answers.start()
        for frame in _frames(method, frames, long):
            line.sendall(frame)
        line.sendall(_frame(_PING, 0, 0, _ALL_READ))
        answers.join(60)


def _read(line: socket.socket) -> None:
    """What comes, until the server has read everything or hangs up."""
    end = b""
    with suppress(OSError, ValueError):
        while _ALL_READ not in end and (part := line.recv(65536)):
            end = end[-len(_ALL_READ) :] + part


def _frames(method: str, frames: int, long: bool) -> Iterator[bytes]:
    fields = {":method": "POST", ":scheme": "https", ":path": method, ":authority": "beta"}
    call = b"".join(
        _entry(*field) for field in {**fields, "content-type": "application/grpc", "te": "trailers"}.items()
    )
    yield _frame(_HEADERS, _END_HEADERS, 1, call + b"\x40" + _entry("x-a", "a" * 3_900)[1:])
    for n in range(1, frames):
        yield _frame(_HEADERS, _END_HEADERS, 2 * n + 1, call + (_NEWEST if long else _STANDING) * REFERENCES)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _entry(name: str, value: str) -> bytes:
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    size, rest = len(text), b""
    if size >= 127:
        size, rest = 127, bytes([(size - 127) & 127 | 128, (size - 127) >> 7])
    return bytes([size]) + rest + text.encode()
