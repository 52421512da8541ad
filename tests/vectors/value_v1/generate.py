"""Writes the golden values of version 1 and the bad ones; run once, the files then stay as they are.

Run `python -m tests.vectors.value_v1.generate FOLDER` and compare before replacing anything: what was written once
must decode for ever.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from storage.client import Ciphertexts, Value, encode

HERE = Path(__file__).parent

GOOD: dict[str, Value] = {
    "none": None,
    "true": True,
    "int": -(2**63),
    "float": -0.1,
    "text": "Köln, 東京",
    "bytes": b"\x00\xff",
    "array_float64": np.array([[1.5, -2.25], [np.inf, 1e-310]]),
    "array_float32": np.array([0.1, 0.2], np.float32),
    "array_int16_scalar_shape": np.array(-7, np.int16),
    "array_uint64": np.array([2**64 - 1], np.uint64),
    "array_bool": np.array([True, False, True]),
    "array_empty": np.zeros((0, 3), np.int32),
    "ciphertexts": Ciphertexts("ab" * 32, '{"slots":2}', 5, pa.array([b"12345", b"abcde", b"ABCDE"], pa.binary(5))),
    "ciphertexts_owned": Ciphertexts("cd" * 32, "{}", 1, pa.array([b"zz"], pa.binary(2)), "guest:hospital-a"),
    "table": pa.table({"id": ["a", "b", None], "x": [1.0, None, 3.0], "n": pa.array([1, 2, 3], pa.int32())}),
    "record": {
        "rows": 569, "w": np.array([1.0, 2.0]), "note": "ok",
        "c": Ciphertexts("00", "{}", 1, pa.array([b"zz"], pa.binary(2))),
    },
    "record_empty": {},
}  # fmt: skip

META = {b"archipelago.value": b"1"}


def stream(
    columns: dict[str, tuple[pa.Array, dict[bytes, bytes]]],
    kind: bytes | None = b"record",
    *,
    version: bytes | None = b"1",
    options: ipc.IpcWriteOptions | None = None,
    batches: int = 1,
) -> bytes:
    """A stream with whatever metadata one likes."""
    metadata = {b"archipelago.value": version, b"kind": kind}
    fields = [pa.field(name, column.type, metadata=own) for name, (column, own) in columns.items()]
    schema = pa.schema(fields, metadata={k: v for k, v in metadata.items() if v is not None})
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, schema, options=options) as writer:
        for _ in range(batches):
            writer.write_batch(pa.RecordBatch.from_arrays([column for column, _ in columns.values()], schema=schema))
    return sink.getvalue().to_pybytes()


def cell(items: pa.Array, offsets: list[int] | None = None) -> pa.Array:
    """One list cell, as arrays are stored."""
    kind = pa.large_list(pa.field("item", items.type, nullable=False))
    return pa.LargeListArray.from_arrays(pa.array(offsets or [0, len(items)], pa.int64()), items, type=kind)


def array_field(dtype: bytes = b"float64", shape: bytes = b"2") -> dict[bytes, bytes]:
    """The metadata of an array."""
    return {b"kind": b"array", b"dtype": dtype, b"shape": shape}


TWO = pa.array([1.0, 2.0])
NOT_UTF8 = pa.Array.from_buffers(
    pa.utf8(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
)
INT = {b"kind": b"int"}
WHOLE = bytes(encode(np.array([1.0, 2.0])))


def with_offsets(first: int, last: int) -> bytes:
    """The array of two with other list offsets, which Arrow itself would not write."""
    shape = str(max(0, last - first)).encode()
    data = stream({"": (cell(TWO), array_field(shape=shape))}, b"array")
    place = data.rindex(struct.pack("<qq", 0, 2))
    return data[:place] + struct.pack("<qq", first, last) + data[place + 16 :]


BAD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "not_arrow": lambda: b"this is not an encoded value, it only looks long enough",
    "cut_in_the_schema": lambda: WHOLE[:100],
    "cut_in_the_data": lambda: WHOLE[:-20],
    "cut_before_the_end_marker": lambda: WHOLE[:-8],
    "bytes_after_the_end": lambda: WHOLE + b"\x00",
    "two_values": lambda: WHOLE + WHOLE,
    "version_2": lambda: stream({"": (pa.array([1]), INT)}, b"int", version=b"2"),
    "version_missing": lambda: stream({"": (pa.array([1]), INT)}, b"int", version=None),
    "kind_unknown": lambda: stream({"": (pa.array([1]), {b"kind": b"pickle"})}, b"pickle"),
    "kind_missing": lambda: stream({"": (pa.array([1]), INT)}, None),
    "kind_of_a_field_unknown": lambda: stream({"a": (pa.array([1]), {b"kind": b"object"})}),
    "kind_a_record_in_a_record": lambda: stream({"a": (pa.array([1]), {b"kind": b"record"})}),
    "kind_and_field_differ": lambda: stream({"": (pa.array([1]), INT)}, b"float"),
    "kind_int_holds_floats": lambda: stream({"a": (pa.array([1.0]), INT)}),
    "ciphertexts_hold_floats": lambda: stream(
        {"": (cell(TWO), {b"kind": b"ciphertexts", b"key": b"", b"layout": b"{}", b"count": b"2"})}, b"ciphertexts"
    ),
    "ciphertexts_without_a_key": lambda: stream(
        {"": (cell(pa.array([b"ab"], pa.binary(2))), {b"kind": b"ciphertexts", b"layout": b"{}", b"count": b"2"})},
        b"ciphertexts",
    ),
    "dtype_unknown": lambda: stream({"": (cell(TWO), array_field(b"complex128"))}, b"array"),
    "dtype_and_data_differ": lambda: stream({"": (cell(TWO), array_field(b"int64"))}, b"array"),
    "shape_of_more_elements": lambda: stream({"": (cell(TWO), array_field(shape=b"3"))}, b"array"),
    "shape_not_numbers": lambda: stream({"": (cell(TWO), array_field(shape=b"-2"))}, b"array"),
    "shape_of_a_hundred_dimensions": lambda: stream(
        {"": (cell(TWO), array_field(shape=b",".join([b"1"] * 100)))}, b"array"
    ),
    "shape_of_nothing_by_too_much": lambda: stream(
        {"": (cell(pa.array(np.zeros(0))), array_field(shape=b",".join([b"0"] + [b"9" * 18] * 2)))}, b"array"
    ),
    "items_outside_the_list": lambda: with_offsets(0, 1),
    "null_where_an_int_is": lambda: stream({"a": (pa.array([None], pa.int64()), INT)}),
    "two_rows": lambda: stream({"a": (pa.array([1, 2]), INT)}),
    "two_batches": lambda: stream({"a": (pa.array([1]), INT)}, batches=2),
    "no_batch": lambda: stream({"a": (pa.array([1]), INT)}, batches=0),
    "bool_of_two": lambda: stream(
        {"": (cell(pa.array([0, 2], pa.uint8())), array_field(b"bool"))}, b"array"
    ),
    "compressed": lambda: stream(
        {"": (cell(pa.array(np.zeros(1000))), array_field(shape=b"1000"))},
        b"array",
        options=ipc.IpcWriteOptions(compression="zstd"),
    ),
    "name_not_utf8": lambda: stream({"name": (pa.array([1]), INT)}).replace(b"name", b"na\xffe"),
    "dictionary": lambda: stream({"a": (pa.array(["x"]).dictionary_encode(), {})}, b"table"),
    "table_of_lists": lambda: stream({"a": (pa.array([[1]]), {})}, b"table"),
    "table_text_not_utf8": lambda: stream({"a": (NOT_UTF8, {})}, b"table"),
    "offsets_beyond_the_data": lambda: with_offsets(0, 2**40),
    "offsets_backwards": lambda: with_offsets(2, 0),
}  # fmt: skip


def main(folder: Path) -> None:
    """Write every file."""
    for name, value in GOOD.items():
        (folder / f"{name}.arrow").write_bytes(encode(value))
    for name, make in BAD.items():
        (folder / f"bad_{name}.arrow").write_bytes(make())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
