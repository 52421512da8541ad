"""One Arrow IPC stream that must fill its bytes exactly: written with one copy, read with none.

Reading is stricter than Arrow's own stream reader, since the bytes come from other parties, from executors or from a
store that others write to: exactly one schema, then plain record batches, then the end marker and nothing after it.
Dictionaries and compressed bodies are refused before anything of theirs is expanded; buffers outside their message
and rows that its bytes cannot hold before Arrow looks at them; and every batch is validated in full.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyarrow import ipc

from storage.errors import ValueDamaged

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
FREE_ROWS = 1 << 20  # that a batch may have without a byte for them: columns of nothing but nulls
_FILE_START = b"ARROW1\0\0"
# Places of fields in the tables of Arrow's Message.fbs
_HEADER_SLOT = 2  # of Message
_LENGTH_SLOT, _NODES_SLOT, _BUFFERS_SLOT, _COMPRESSION_SLOT = 0, 1, 2, 3  # of RecordBatch
_PAIR = struct.Struct("<qq")


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


def read_partition(data: pa.Buffer, *, known: bool = False) -> pa.RecordBatch:
    """The one batch of a file that `storage.tables.writer` wrote, as a view of `data`; its footer is not looked at.

    Args:
        data: The file.
        known: Whether this process has validated the same file before; then its values are not looked at again.

    Raises:
        ValueDamaged: It is not such a file.
    """
    start = len(_FILE_START)
    if data.size < start or data.slice(0, start).to_pybytes() != _FILE_START:
        raise ValueDamaged("It does not begin as an Arrow file.")
    source = pa.BufferReader(data)
    source.seek(start)
    reader = ipc.MessageReader.open_stream(source)
    schema = _schema(_next(reader))
    message = _next(reader)
    if message is None:
        raise ValueDamaged("It ends before its rows.")
    return _batch(message, schema, known=known)


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


def _batch(message: ipc.Message, schema: pa.Schema, *, known: bool = False) -> pa.RecordBatch:
    if message.type != "record batch":
        raise ValueDamaged(f"The encoded value holds a message of type '{message.type}', which is not allowed.")
    try:
        _check_layout(bytes(message.metadata), message.body.size if message.body is not None else 0)
        batch = ipc.read_record_batch(message, schema)
        if not known:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, struct.error) as error:
        raise ValueDamaged(f"The encoded value has a damaged batch ({_first_line(error)}).") from error
    return batch


def _check_layout(data: bytes, body_bytes: int) -> None:
    """What can be known of a record batch from its message alone; Arrow has verified the flatbuffer, we read slots."""
    message = struct.unpack_from("<I", data, 0)[0]
    header = message + _slot(data, message, _HEADER_SLOT)
    batch = header + struct.unpack_from("<I", data, header)[0]
    if _slot(data, batch, _COMPRESSION_SLOT):
        raise ValueDamaged("The encoded value is compressed, which is not allowed.")
    most = 8 * body_bytes + FREE_ROWS
    length = _slot(data, batch, _LENGTH_SLOT)
    rows = struct.unpack_from("<q", data, batch + length)[0] if length else 0
    if not 0 <= rows <= most or any(not 0 <= of <= most for of, _ in _pairs(data, batch, _NODES_SLOT)):
        raise ValueDamaged(f"The encoded value claims more rows than its {body_bytes} bytes can hold.")
    if any(start < 0 or size < 0 or start + size > body_bytes for start, size in _pairs(data, batch, _BUFFERS_SLOT)):
        raise ValueDamaged("The encoded value has a buffer outside its message.")


def _pairs(data: bytes, table: int, slot: int) -> Iterator[tuple[int, int]]:
    """The pairs of 64-bit numbers of a vector of structs, none where the field is absent."""
    at = _slot(data, table, slot)
    if at:
        vector = table + at + struct.unpack_from("<I", data, table + at)[0]
        count = struct.unpack_from("<I", data, vector)[0]
        yield from _PAIR.iter_unpack(data[vector + 4 : vector + 4 + count * _PAIR.size])


def _slot(data: bytes, table: int, slot: int) -> int:
    """Offset of a flatbuffer table's field from the table, 0 where the field is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * slot
    return int(struct.unpack_from("<H", data, vtable + entry)[0]) if entry < size else 0


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
