"""Streams of large bodies without protobuf's copies.

Every chunk message has `bytes data = 1`; one that holds nothing else is, on the wire, a tag, a length and the bytes.
Here such a chunk is written and read as just that, and becomes a view of the received bytes instead of an object;
any other chunk is left to the generated code. What travels is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

M_co = TypeVar("M_co", covariant=True)
M = TypeVar("M")

_DATA_TAG = 0x0A  # field 1, length-delimited
_MORE = 0x80


class Parsed(Protocol[M_co]):
    """A generated message class."""

    def FromString(self, data: bytes, /) -> M_co:  # noqa: N802
        """The message in the bytes."""


class Packed(Protocol):
    """A generated message."""

    def SerializeToString(self) -> bytes:  # noqa: N802
        """The bytes of the message."""


def pack(chunk: memoryview | Packed) -> bytes:
    """A chunk as it travels; a view stands for a chunk that holds nothing but data."""
    if not isinstance(chunk, memoryview):
        return chunk.SerializeToString()
    head = bytearray([_DATA_TAG])
    left = chunk.nbytes
    while left >= _MORE:
        head.append(left % _MORE | _MORE)
        left //= _MORE
    head.append(left)
    return b"".join((head, chunk))


def unpacker(kind: Parsed[M]) -> Callable[[bytes], memoryview | M]:
    """The function that reads a chunk: a view if it holds nothing but data, else the message."""

    def unpack(raw: bytes) -> memoryview | M:
        if raw and raw[0] == _DATA_TAG:
            size, shift, at = 0, 0, 1
            while at < len(raw) and shift < 35:
                size |= (raw[at] % _MORE) << shift
                shift += 7
                at += 1
                if raw[at - 1] < _MORE:
                    break
            if at + size == len(raw):
                return memoryview(raw)[at:]
        return kind.FromString(raw)

    return unpack
