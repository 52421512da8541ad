"""How a TLS connection begins: the first message of a client that goes no further."""

from __future__ import annotations

import ssl
from contextlib import suppress

HALF_HELLO = bytes.fromhex("160301020001000001fc0303") + b"x" * 8


def whole_hello() -> bytes:
    """A client's whole first message, to beta."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="beta").do_handshake()
    return out.read()
