"""Whose address stands behind a request that the party's own board makes: said by the board, and proved.

All visitors of the board come to Flow from the board's address. It passes each one's own on in a header, with a proof
that takes a key derived from the party's master key: nobody else is believed, X-Forwarded-For neither.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

HEADER = "Board-Visitor"
VISITOR_PURPOSE = b"board-visitor"
MAX_CHARS = 200


class Visitors:
    """Says and believes addresses of visitors, by the key that board and Flow of one party derive."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def header(self, address: str) -> dict[str, str]:
        """The header that says whose address it is."""
        return {HEADER: f"{address} {self._proof(address)}"}

    def address(self, headers: Mapping[str, str]) -> str:
        """The address that the header proves; empty if there is none."""
        address, _, proof = headers.get(HEADER, "")[:MAX_CHARS].partition(" ")
        return address if hmac.compare_digest(proof.encode(), self._proof(address).encode()) else ""

    def _proof(self, address: str) -> str:
        return hmac.new(self._key, address.encode(errors="surrogatepass"), sha256).hexdigest()
