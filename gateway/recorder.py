"""Writes every envelope as it leaves, header and body before TLS, for the security tests that search them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa


class Recorder:
    """A folder of `<id>.header` and `<id>.body`; without a folder nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def record(self, name: str, header: bytes, body: bytes | pa.Buffer) -> None:
        """Write one envelope; the same envelope again takes the place of the first."""
        if self._folder is not None:
            (self._folder / f"{name}.header").write_bytes(header)
            (self._folder / f"{name}.body").write_bytes(memoryview(body))
