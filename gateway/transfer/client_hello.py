"""The first message of a TLS connection, read as far as the front needs it: is it whole, and whom does it ask for.

Nothing here is believed: the bytes come from anybody. RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3.
"""

from __future__ import annotations

RECORD_HEADER_BYTES = 5
MAX_RECORD_BYTES = 1 << 14
MIN_HELLO_BYTES = 40
_HANDSHAKE = 0x16
_MAJOR = 0x03
_CLIENT_HELLO = 0x01
_AFTER_RANDOM = RECORD_HEADER_BYTES + 4 + 2 + 32
_SERVER_NAME = 0
_HOST_NAME = 0


class NotTls(ValueError):
    """The bytes do not begin a TLS connection."""


def bytes_wanted(begun: bytes) -> int:
    """How many bytes the first record has in all, as far as `begun` tells. Raises NotTls."""
    fits = begun[:1] in (b"", bytes([_HANDSHAKE])) and begun[1:2] in (b"", bytes([_MAJOR]))
    if not fits or begun[5:6] not in (b"", bytes([_CLIENT_HELLO])):
        raise NotTls("not a TLS handshake")
    if len(begun) < RECORD_HEADER_BYTES:
        return RECORD_HEADER_BYTES + 1
    size = int.from_bytes(begun[3:5], "big")
    if not MIN_HELLO_BYTES <= size <= MAX_RECORD_BYTES:
        raise NotTls("not the size of a client's hello")
    return RECORD_HEADER_BYTES + size


def server_name(record: bytes) -> str:
    """The name that the client asks for; empty if it names none that can be read."""
    try:
        return _server_name(_Reader(record[_AFTER_RANDOM:]))
    except (ValueError, UnicodeDecodeError):
        return ""


class _Reader:
    """Takes fields with a length in front. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError("the message ends early")
        self._at += size
        return taken

    def field(self, length_bytes: int) -> bytes:
        return self.take(self.number(length_bytes))


def _server_name(hello: _Reader) -> str:
    hello.field(1)  # session
    hello.field(2)  # ciphers
    hello.field(1)  # compression
    extensions = _Reader(hello.field(2))
    while True:
        kind, body = extensions.number(2), extensions.field(2)
        if kind == _SERVER_NAME:
            names = _Reader(_Reader(body).field(2))
            return names.field(2).decode("ascii") if names.number(1) == _HOST_NAME else ""
