"""The closed list of value kinds and their encoding: what may travel between parties and lie in a checkpoint.

A value is one Arrow IPC stream (version 1, golden bytes in `tests/vectors/value_v1`). The schema's metadata holds
`archipelago.value` = the version and `kind`. A table is itself. Everything else is one batch of one row with a column
for each field; a bare value is one field without a name. Arrays and ciphertexts are list cells whose field metadata
hold what the list cannot say (dtype, shape, key and whose it is, layout). Whatever else is there is an error with a
name, unknown metadata too: nothing travels beside a value. Arrays are decoded as read-only views of the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from storage.errors import UnsupportedValue, ValueDamaged, ValueKindUnknown, ValueVersionUnknown
from storage.frames import read_schema, read_stream, write_stream
from storage.kinds import Array, Ciphertexts, Field, FieldHeader, Kind, Value, ValueHeader

VERSION = 1
_VERSION_KEY = b"archipelago.value"
_MAX_DIMENSIONS = 32
_MAX_METADATA_BYTES = 1024  # of one entry
_FIELD_METADATA = {  # of all other kinds: the kind alone
    Kind.ARRAY: (b"kind", b"dtype", b"shape"),
    Kind.CIPHERTEXTS: (b"kind", b"key", b"layout", b"count", b"owner"),
}
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

_SCALARS: dict[Kind, pa.DataType] = {
    Kind.NONE: pa.null(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.large_utf8(),
    Kind.BYTES: pa.large_binary(),
}
_PYTHON_TYPES: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (type(None), Kind.NONE),
    ((bool, np.bool_), Kind.BOOL),  # before int, which bool is
    ((int, np.integer), Kind.INT),
    ((float, np.floating), Kind.FLOAT),
    (str, Kind.TEXT),
    (bytes, Kind.BYTES),
    (np.ndarray, Kind.ARRAY),
    (Ciphertexts, Kind.CIPHERTEXTS),
)
_ELEMENTS: dict[str, pa.DataType] = {
    "bool": pa.uint8(),  # a byte each, so that it too is read without a copy
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


def encode(value: Value) -> pa.Buffer:
    """The bytes of a value. Array data is copied once.

    Raises:
        UnsupportedValue: The value, or a field of it, is not in the closed list.
    """
    if isinstance(value, pa.Table):
        return _encode_table(value)
    if isinstance(value, Mapping):
        kind, columns = Kind.RECORD, [_column(_field_name(name), field) for name, field in value.items()]
    else:
        column = _column("", value)
        kind, columns = Kind(column[0].metadata[b"kind"].decode()), [column]
    schema = pa.schema([field for field, _ in columns], metadata=_metadata(kind))
    return write_stream(schema, [pa.RecordBatch.from_arrays([cell for _, cell in columns], schema=schema)])


def decode(data: bytes | pa.Buffer) -> Value:
    """The value of the bytes; arrays are read-only views of them.

    Raises:
        ValueDamaged: Cut, too long or inconsistent bytes.
        ValueVersionUnknown: Written by a version that is not known here.
        ValueKindUnknown: A kind or dtype outside the closed list.
    """
    schema, batches = read_stream(data)
    header = _header(schema)
    if header.kind is Kind.TABLE:
        return pa.Table.from_batches([b.replace_schema_metadata(None) for b in batches], schema.remove_metadata())
    if len(batches) != 1 or (header.fields and batches[0].num_rows != 1):
        raise ValueDamaged("The encoded value does not hold exactly one row.")
    cells = {field.name: _cell(field, schema.field(i), batches[0].column(i)) for i, field in enumerate(header.fields)}
    if header.kind is Kind.RECORD:
        return cells
    return cells[""]


def describe(data: bytes | pa.Buffer) -> ValueHeader:
    """What the value says it is, from its schema alone. Raises as `decode` does."""
    return _header(read_schema(data))


def kind_of(value: Value) -> Kind:
    """The kind that `encode` would give the value. Raises UnsupportedValue."""
    if isinstance(value, pa.Table):
        return Kind.TABLE
    if isinstance(value, Mapping):
        return Kind.RECORD
    return _field_kind("", value)


def _metadata(kind: Kind) -> dict[bytes, bytes]:
    return {_VERSION_KEY: str(VERSION).encode(), b"kind": kind.encode()}


def _field_name(name: object) -> str:
    if not isinstance(name, str):
        raise UnsupportedValue(f"A record's field is named {name!r}, which is not text.")
    return name


def _field_kind(name: str, value: object) -> Kind:
    """The kind of a field; NumPy's scalars count as the Python ones they stand for."""
    for types, kind in _PYTHON_TYPES:
        if isinstance(value, types):
            return kind
    what = f"field '{name}'" if name else "value"
    raise UnsupportedValue(
        f"The {what} is a {type(value).__name__}, which cannot be sent or stored.",
        hint="Use None, bool, int, float, str, bytes, NumPy arrays of numbers, Ciphertexts, a pa.Table, or a dict.",
    )


def _column(name: str, value: object) -> tuple[pa.Field, pa.Array]:
    kind = _field_kind(name, value)
    if isinstance(value, np.ndarray):
        return _array_column(name, value)
    if isinstance(value, Ciphertexts):
        return _ciphertexts_column(name, value)
    plain = value.item() if isinstance(value, np.generic) else value
    if kind is Kind.INT and not _INT64_MIN <= plain <= _INT64_MAX:  # type: ignore[operator]
        raise UnsupportedValue(f"The integer in '{name}' does not fit into 64 bits.", hint="Send it as bytes.")
    try:
        cell = pa.array([plain], _SCALARS[kind])
    except UnicodeEncodeError as error:
        raise UnsupportedValue(f"The text in '{name}' is not valid Unicode.") from error
    return pa.field(name, cell.type, metadata={b"kind": kind.encode()}), cell


def _array_column(name: str, value: Array) -> tuple[pa.Field, pa.Array]:
    dtype = value.dtype.newbyteorder("=")
    element = _ELEMENTS.get(dtype.name) if dtype.kind in "biuf" else None
    if element is None or isinstance(value, np.ma.MaskedArray):
        raise UnsupportedValue(
            f"The array in '{name}' has dtype {value.dtype}, which cannot be sent or stored.",
            hint=f"Use one of {', '.join(_ELEMENTS)}.",
        )
    flat = np.asarray(value, dtype=dtype, order="C").reshape(-1)
    shape = ",".join(map(str, value.shape)).encode()
    metadata = {b"kind": Kind.ARRAY.encode(), b"dtype": dtype.name.encode(), b"shape": shape}
    return _list_column(name, pa.array(flat.view(np.uint8) if dtype.kind == "b" else flat, element), metadata)


def _ciphertexts_column(name: str, value: Ciphertexts) -> tuple[pa.Field, pa.Array]:
    if not isinstance(value.data, pa.FixedSizeBinaryArray) or value.data.null_count or value.count < 0:
        raise UnsupportedValue(f"The ciphertexts in '{name}' are not fixed-size binary without nulls, or count < 0.")
    metadata = {
        b"kind": Kind.CIPHERTEXTS.encode(),
        b"key": value.key.encode(),
        b"layout": value.layout.encode(),
        b"count": str(value.count).encode(),
    }
    if value.owner:
        metadata[b"owner"] = value.owner.encode()
    return _list_column(name, value.data, metadata)


def _list_column(name: str, items: pa.Array, metadata: dict[bytes, bytes]) -> tuple[pa.Field, pa.Array]:
    kind = pa.large_list(pa.field("item", items.type, nullable=False))
    cell = pa.LargeListArray.from_arrays(pa.array([0, len(items)], pa.int64()), items, type=kind)
    return pa.field(name, kind, metadata=metadata), cell


def _encode_table(table: pa.Table) -> pa.Buffer:
    names = table.column_names
    if len(set(names)) != len(names):
        raise UnsupportedValue("The table has two columns of one name.")
    for field in table.schema:
        if not _is_column_type(field.type):
            raise UnsupportedValue(f"The table's column '{field.name}' has type {field.type}, which cannot be sent.")
    fields = [pa.field(f.name, f.type, f.nullable) for f in table.schema]
    schema = pa.schema(fields, metadata=_metadata(Kind.TABLE))
    return write_stream(schema, [pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in table.to_batches()])


def _is_column_type(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64,
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
        pa.types.is_fixed_size_binary, pa.types.is_date, pa.types.is_timestamp,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _header(schema: pa.Schema) -> ValueHeader:
    """The checked header: every field has the Arrow type that its metadata claim. Raises as `decode` does."""
    metadata = _metadata_of(schema, _VERSION_KEY, b"kind")
    version = _text(metadata, _VERSION_KEY)
    if version != str(VERSION):
        raise ValueVersionUnknown(
            f"The value has version {version[:20]!r}; this program knows {VERSION}.", hint="Update the older party."
        )
    kind = _kind(metadata)
    names = schema.names
    if len(set(names)) != len(names):
        raise ValueDamaged("The encoded value has two fields of one name.")
    if kind is Kind.TABLE:
        return ValueHeader(VERSION, kind, tuple(_table_field(field) for field in schema))
    fields = tuple(_field_header(field) for field in schema)
    if kind is not Kind.RECORD and [(f.name, f.kind) for f in fields] != [("", kind)]:
        raise ValueDamaged(f"The encoded value says that it is of kind '{kind}', but its fields do not.")
    return ValueHeader(VERSION, kind, fields)


def _kind(metadata: Mapping[bytes, bytes]) -> Kind:
    kind = _text(metadata, b"kind")
    if kind not in Kind.__members__.values():
        raise ValueKindUnknown(f"'{kind[:40]}' is not a kind of value.", hint=f"Kinds are {', '.join(Kind)}.")
    return Kind(kind)


def _metadata_of(holder: pa.Schema | pa.Field, *known: bytes) -> Mapping[bytes, bytes]:
    """Its metadata. Raises ValueDamaged for an entry that is not known, or too large: nobody would count its bytes."""
    found: Mapping[bytes, bytes] = holder.metadata or {}
    for key, entry in found.items():
        if key not in known or len(entry) > _MAX_METADATA_BYTES:
            shown = repr(key[:40].decode(errors="replace"))
            raise ValueDamaged(f"The encoded value has metadata {shown} of {len(entry)} bytes, which none may have.")
    return found


def _table_field(field: pa.Field) -> FieldHeader:
    _metadata_of(field)
    if not _is_column_type(field.type):
        raise ValueKindUnknown(f"The table's column '{field.name[:60]}' has type {field.type}, which is not allowed.")
    return FieldHeader(field.name, Kind.TABLE, str(field.type))


def _field_header(field: pa.Field) -> FieldHeader:
    kind = _kind(field.metadata or {})
    metadata = _metadata_of(field, *_FIELD_METADATA.get(kind, (b"kind",)))
    header = FieldHeader(field.name, kind)
    expected = _SCALARS.get(kind)
    if kind is Kind.ARRAY:
        dtype = _text(metadata, b"dtype")
        if dtype not in _ELEMENTS:
            raise ValueKindUnknown(f"'{dtype[:40]}' is not an array's dtype.", hint=f"Use {', '.join(_ELEMENTS)}.")
        header = FieldHeader(field.name, kind, dtype, _numbers(_text(metadata, b"shape")))
        expected = pa.large_list(pa.field("item", _ELEMENTS[dtype], nullable=False))
    elif kind is Kind.CIPHERTEXTS:
        count = _numbers(_text(metadata, b"count"))
        owner = _text(metadata, b"owner") if b"owner" in metadata else ""
        header = FieldHeader(field.name, kind, None, count, _text(metadata, b"key"), owner)
        _text(metadata, b"layout")
        is_binary = pa.types.is_large_list(field.type) and pa.types.is_fixed_size_binary(field.type.value_type)
        expected = field.type if is_binary and len(count) == 1 else None
    if pa.types.is_large_list(field.type):
        _metadata_of(field.type.value_field)
    if expected is None or field.type != expected:
        raise ValueDamaged(f"The field '{field.name[:60]}' is stored as {field.type}, which is not how '{kind}' is.")
    return header


def _cell(header: FieldHeader, field: pa.Field, column: pa.Array) -> Field:
    if column.null_count and header.kind is not Kind.NONE:
        raise ValueDamaged(f"The field '{header.name[:60]}' holds a null.")
    if header.kind is Kind.ARRAY:
        return _array(header, _items(header, column))
    if header.kind is Kind.CIPHERTEXTS:
        count, layout = (header.shape or (0,))[0], _text(field.metadata, b"layout")
        return Ciphertexts(header.key or "", layout, count, _items(header, column), header.owner)
    result: Field = column[0].as_py()
    return result


def _items(header: FieldHeader, column: pa.LargeListArray) -> pa.Array:
    items = column.flatten()
    if items.null_count or len(items) != len(column.values):
        raise ValueDamaged(f"The field '{header.name[:60]}' holds nulls, or items outside its list.")
    return items


def _array(header: FieldHeader, items: pa.Array) -> Array:
    shape = header.shape or ()
    if math.prod(shape) != len(items):
        raise ValueDamaged(f"The field '{header.name[:60]}' holds {len(items)} elements, not the shape {shape}.")
    flat: Array = items.to_numpy(zero_copy_only=True)
    if header.dtype == "bool":
        if flat.size and flat.max() > 1:
            raise ValueDamaged(f"The field '{header.name[:60]}' holds a boolean that is neither 0 nor 1.")
        flat = flat.view(np.bool_)
    try:
        array = flat.reshape(shape)
    except ValueError as error:  # an empty array whose other dimensions are beyond NumPy's
        raise ValueDamaged(f"The field '{header.name[:60]}' has the shape {shape}.") from error
    array.flags.writeable = False
    return array


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",") if text else []
    if len(parts) > _MAX_DIMENSIONS or not all(p.isascii() and p.isdigit() and len(p) < 19 for p in parts):
        raise ValueDamaged(f"'{text[:60]}' is not a shape.")
    return tuple(int(part) for part in parts)


def _text(metadata: Mapping[bytes, bytes], key: bytes) -> str:
    """One metadata entry as text. Raises ValueDamaged if it is missing or not UTF-8."""
    try:
        return metadata[key].decode()
    except KeyError:
        raise ValueDamaged(f"The encoded value lacks '{key.decode()}' in its metadata.") from None
    except UnicodeDecodeError as error:
        raise ValueDamaged(f"The encoded value has a '{key.decode()}' that is not text.") from error
