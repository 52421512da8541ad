"""Messages before protobuf sees them: large bodies without its copies, and how many parts a message has.

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
_VARINT, _DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}


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


def count_parts(raw: bytes, field: int, most: int) -> int:
    """How often a field of messages or text is in a message, counted no further than `most` + 1, without parsing it.

    Raises ValueError for bytes that are no protobuf message.
    """
    found, at = 0, 0
    while at < len(raw) and found <= most:
        tag, at = _varint(raw, at)
        form = tag & 7
        if form == _DELIMITED:
            size, at = _varint(raw, at)
            found += tag >> 3 == field
        elif form == _VARINT:
            size = _varint(raw, at)[1] - at
        elif form in _FIXED:
            size = _FIXED[form]
        else:
            raise ValueError(f"a field of form {form}")
        at += size
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            break
        byte = raw[at]
        at += 1
        value |= (byte % _MORE) << shift
        if byte < _MORE:
            return value, at
    raise ValueError("a number without an end")


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
