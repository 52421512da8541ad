"""Looks for numbers in recorded envelopes, as a security officer would: byte by byte, before TLS."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

FORMS = ("<d", ">d", "<f", ">f")


def recordings(folder: Path) -> set[Path]:
    """The files of all envelopes that left a party so far."""
    return {file for file in folder.rglob("*") if file.is_file()}


def found(values: Iterable[float], haystack: bytes) -> list[float]:
    """The values whose little- or big-endian float32 or float64 bytes are in the haystack. Zeros prove nothing."""
    return [
        v for v in values if v != 0.0 and any(struct.pack(form, v) in haystack for form in ("<d", ">d", "<f", ">f"))
    ]
