"""One Arrow IPC stream that must fill its bytes exactly: written with one copy, read with none.

Reading is stricter than Arrow's own stream reader, since the bytes come from other parties: exactly one schema, then
plain record batches, then the end marker and nothing after it. Dictionaries and compressed bodies are refused before
anything of theirs is expanded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyarrow import ipc

from storage.errors import ValueDamaged

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_COMPRESSION_SLOT = 3  # of the RecordBatch table in Arrow's Message.fbs
_HEADER_SLOT = 2  # of the Message table


def write_stream(schema: pa.Schema, batches: list[pa.RecordBatch]) -> pa.Buffer:
    """The stream as one buffer of exactly the right size, so that array data is copied once."""
    measured = pa.MockOutputStream()
    _write(measured, schema, batches)
    buffer = pa.allocate_buffer(measured.size())
    with pa.FixedSizeBufferWriter(buffer) as sink:
        _write(sink, schema, batches)
    return buffer


def read_schema(data: bytes | pa.Buffer) -> pa.Schema:
    """The schema alone; nothing after it is looked at. Raises ValueDamaged."""
    reader = ipc.MessageReader.open_stream(pa.BufferReader(data))
    return _schema(_next(reader))


def read_stream(data: bytes | pa.Buffer) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """The schema and every batch, as views of `data`, fully validated. Raises ValueDamaged."""
    buffer = data if isinstance(data, pa.Buffer) else pa.py_buffer(data)
    source = pa.BufferReader(buffer)
    messages = _messages(source, buffer)
    first = next(messages, None)
    schema = _schema(first)
    return schema, [_batch(message, schema) for message in messages]


def _write(sink: pa.NativeFile, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _messages(source: pa.BufferReader, buffer: pa.Buffer) -> Iterator[ipc.Message]:
    reader = ipc.MessageReader.open_stream(source)
    start = 0
    while (message := _next(reader)) is not None:
        yield message
        start = source.tell()
    if bytes(buffer.slice(start)[:]) != END_OF_STREAM:
        what = "ends before its end marker" if start >= buffer.size else "has bytes after its end"
        raise ValueDamaged(f"The encoded value {what}.")


def _next(reader: ipc.MessageReader) -> ipc.Message | None:
    try:
        return reader.read_next_message()
    except StopIteration:
        return None
    except (pa.ArrowException, OSError) as error:
        raise ValueDamaged(f"The encoded value is cut or damaged ({_first_line(error)}).") from error


def _schema(message: ipc.Message | None) -> pa.Schema:
    if message is None or message.type != "schema":
        raise ValueDamaged("The encoded value does not begin with a schema.")
    try:
        schema = ipc.read_schema(message)
        _ = schema.names, str(schema)  # names and time zones are decoded as text only when they are looked at
        return schema
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueDamaged(f"The encoded value has a damaged schema ({_first_line(error)}).") from error


def _batch(message: ipc.Message, schema: pa.Schema) -> pa.RecordBatch:
    if message.type != "record batch":
        raise ValueDamaged(f"The encoded value holds a message of type '{message.type}', which is not allowed.")
    if _is_compressed(message.metadata):
        raise ValueDamaged("The encoded value is compressed, which is not allowed.")
    try:
        batch = ipc.read_record_batch(message, schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueDamaged(f"The encoded value has a damaged batch ({_first_line(error)}).") from error
    return batch


def _is_compressed(metadata: pa.Buffer) -> bool:
    """Whether a record batch message names a compression; Arrow has verified the flatbuffer, we read one slot of it."""
    data = bytes(metadata)
    message = struct.unpack_from("<I", data, 0)[0]
    header = message + _slot(data, message, _HEADER_SLOT)
    batch = header + struct.unpack_from("<I", data, header)[0]
    return _slot(data, batch, _COMPRESSION_SLOT) != 0


def _slot(data: bytes, table: int, slot: int) -> int:
    """Offset of a flatbuffer table's field from the table, 0 where the field is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    place = 4 + 2 * slot
    return int(struct.unpack_from("<H", data, vtable + place)[0]) if place < size else 0


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
