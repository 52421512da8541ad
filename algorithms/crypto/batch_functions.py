"""The arithmetic of `algorithms.crypto.batch` as functions over Arrow batches; their constants are a key.

Columns hold one ciphertext, plaintext or mask a row, fixed-size binary:

    function       takes                           makes
    masks          count (int64, one row)          masks
    encrypt        plaintexts [, masks]            ciphertexts
    rerandomise    ciphertexts [, masks]           ciphertexts
    decrypt        ciphertexts                     plaintexts
    add            any number of ciphertexts       ciphertexts
    add_plain      ciphertexts, plaintexts         ciphertexts
    multiply       ciphertexts, factors (int64)    ciphertexts

A mask of zero bytes stands for none. All raise BadCiphertext, `decrypt` BadKey too.
"""

from __future__ import annotations

import json
from typing import cast

import pyarrow as pa
from gmpy2 import mpz

from algorithms.api.compute import batch_function
from algorithms.crypto.batch import BatchArithmetic, Raw
from algorithms.crypto.paillier import PrivateKey, PublicKey


def constants_of(key: PublicKey | PrivateKey, expected: int) -> bytes:
    """A key, and about how many masks will be made of it in each process."""
    public = key.public if isinstance(key, PrivateKey) else key
    names = ("p", "q", "h", "a_p", "a_q") if isinstance(key, PrivateKey) else ("n", "h")
    numbers = {name: f"{getattr(key, name) or 0:x}" for name in names}
    return json.dumps({"expected": expected, "keygen": public.keygen, "numbers": numbers}).encode()


def _arithmetic(constants: bytes) -> BatchArithmetic:
    """The arithmetic under the key of `constants_of`."""
    fields = json.loads(constants)
    numbers = {name: mpz(text, 16) or None for name, text in fields["numbers"].items()}
    key = PrivateKey(**numbers) if "p" in numbers else PublicKey(**numbers, keygen=fields["keygen"])
    return BatchArithmetic(key, fields["expected"])


def column(raw: Raw, width: int) -> pa.FixedSizeBinaryArray:
    """Bytes as a column of `width` bytes a row, without a copy."""
    buffers = [None, pa.py_buffer(raw)]
    return cast("pa.FixedSizeBinaryArray", pa.Array.from_buffers(pa.binary(width), len(raw) // width, buffers))


def raw_of(column: pa.FixedSizeBinaryArray) -> memoryview:
    """The bytes of a column, without a copy."""
    width = column.type.byte_width
    return memoryview(column.buffers()[1])[column.offset * width : (column.offset + len(column)) * width]


@batch_function(_arithmetic)
def masks(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Fresh masks."""
    made = arithmetic.masks(batch["count"][0].as_py())
    return pa.RecordBatch.from_arrays([column(made, arithmetic.public.ciphertext_bytes)], ["masks"])


@batch_function(_arithmetic)
def encrypt(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A ciphertext for each plaintext."""
    return _ciphertexts(arithmetic, arithmetic.encrypt(raw_of(batch["plaintexts"]), _given_masks(batch)))


@batch_function(_arithmetic)
def rerandomise(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same plaintexts in fresh ciphertexts."""
    return _ciphertexts(arithmetic, arithmetic.rerandomise(raw_of(batch["ciphertexts"]), _given_masks(batch)))


@batch_function(_arithmetic)
def decrypt(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The plaintexts."""
    plaintexts = arithmetic.decrypt(raw_of(batch["ciphertexts"]))
    return pa.RecordBatch.from_arrays([column(plaintexts, arithmetic.public.plaintext_bytes)], ["plaintexts"])


@batch_function(_arithmetic)
def add(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The sum of each row."""
    return _ciphertexts(arithmetic, arithmetic.add([raw_of(term) for term in batch.columns]))


@batch_function(_arithmetic)
def add_plain(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each ciphertext and its plaintext added; as random as it was."""
    return _ciphertexts(arithmetic, arithmetic.add_plain(raw_of(batch["ciphertexts"]), raw_of(batch["plaintexts"])))


@batch_function(_arithmetic)
def multiply(arithmetic: BatchArithmetic, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each ciphertext times its factor."""
    return _ciphertexts(arithmetic, arithmetic.multiply(raw_of(batch["ciphertexts"]), batch["factors"].to_pylist()))


def _ciphertexts(arithmetic: BatchArithmetic, raw: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column(raw, arithmetic.public.ciphertext_bytes)], ["ciphertexts"])


def _given_masks(batch: pa.RecordBatch) -> Raw:
    return raw_of(batch["masks"]) if "masks" in batch.schema.names else b""
