"""Vectors under Paillier: encrypt, add, multiply, slice, decrypt; every operation checks key and layout.

An encrypted vector is `storage.client.Ciphertexts`: a fixed-size binary column of 2 * key bits per ciphertext and
not one more, the key's fingerprint and whose it is, the layout with the number of vectors added, and the count of
values. A sum of fresh ciphertexts is as random as a fresh one and need not be randomised again before it leaves; what
was computed from somebody else's ciphertexts (`add_plain`, `multiply`, and a sum of some of them) tells what was done
to it until `rerandomise`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast

import numpy as np
import pyarrow as pa

from algorithms.api.compute import BatchFunction, Compute, InProcess
from algorithms.api.errors import BadCiphertext, BadKey, WorkerLost, WrongKey, WrongLayout
from algorithms.crypto import batch_functions
from algorithms.crypto.batch import BatchArithmetic
from algorithms.crypto.batch_functions import column, constants_of, raw_of
from algorithms.crypto.packing import FixedPointLayout, Integers, Rows
from algorithms.crypto.paillier import PrivateKey, PublicKey
from party.ids import Address
from runtime.text import printable
from storage.client import Ciphertexts

MOST_AT_ONCE, LEAST_AT_ONCE = 128, 16  # ciphertexts in a batch
ALONE = 32  # ciphertexts; no more than these are computed sooner than processes start
SHARES = 4  # batches for each core, so that all end at about the same time
MASKS_AT_ONCE = 16
MOST_PREPARED = 1 << 12  # masks; 2 MiB under a key of 2048 bits


class VectorPaillier:
    """What can be done with vectors under one key. For one thread; `preparing` works beside it.

    Args:
        key: The public key, or the private one, which decrypts and encrypts faster.
        expected: About how many ciphertexts will be made in all; sizes the precomputed tables.
        compute: Where batches of ciphertexts are computed; left out: in this process.
        owner: Whose key it is; None: several hold it.
    """

    def __init__(
        self,
        key: PublicKey | PrivateKey,
        expected: int = 1,
        compute: Compute | None = None,
        owner: Address | None = None,
    ) -> None:
        self.public = key.public if isinstance(key, PrivateKey) else key
        self._owner = str(owner or "")
        self._is_owner = isinstance(key, PrivateKey)
        self._compute = compute or InProcess()
        self._constants = constants_of(key, -(-expected // self._compute.cores))
        self._stock = bytearray()  # masks made in advance, each for one use

    def encrypt(self, layout: FixedPointLayout, integers: Integers) -> Ciphertexts:
        """The encrypted vector of fixed-point integers that `layout` made. Raises WrongLayout."""
        self._require_fit(layout)
        batches = self._with_masks("plaintexts", self._plaintexts(layout, integers))
        return self._vector(layout, 1, len(integers), batch_functions.encrypt, batches)

    def add(self, vectors: Sequence[Ciphertexts], layout: FixedPointLayout | None = None) -> Ciphertexts:
        """The encrypted sum, of vectors in `layout` if it is given, else in that of the first.

        Raises:
            WrongKey, WrongLayout, BadCiphertext: Another key, unlike layouts or lengths, too many terms, no unit.
        """
        layout = layout or FixedPointLayout.parse(vectors[0].layout)[0]
        terms = sum(self._terms(vector, layout, vectors[0].count) for vector in vectors)
        _require_room(layout, terms)
        columns = {f"ciphertexts {number}": vector.data for number, vector in enumerate(vectors)}
        return self._vector(layout, terms, vectors[0].count, batch_functions.add, self._batches(columns))

    def add_plain(self, vector: Ciphertexts, integers: Integers) -> Ciphertexts:
        """The sum of a vector and of fixed-point integers in the clear. Raises what `add` raises."""
        layout, _ = FixedPointLayout.parse(vector.layout)
        terms = self._terms(vector, layout, len(integers)) + 1
        _require_room(layout, terms)
        return self._plus(vector, self._plaintexts(layout, integers), layout, terms)

    def multiply(self, vector: Ciphertexts, factor: int) -> Ciphertexts:
        """Each value times an integer: a value times k is k vectors added, which the layout must have room for.

        Times a negative k it is 2|k| offsets for each vector added, less |k| times the vector.

        Raises:
            WrongKey, WrongLayout, BadCiphertext: As `add`; WrongLayout also for zero, which would hide nothing.
        """
        layout, _ = FixedPointLayout.parse(vector.layout)
        terms = self._terms(vector, layout, vector.count) * abs(factor)
        if factor == 0:
            raise WrongLayout("A vector times zero hides nothing.", hint="Leave it out instead.")
        _require_room(layout, terms)
        columns = {"ciphertexts": vector.data, "factors": pa.repeat(factor, len(vector.data))}
        product = self._vector(layout, terms, vector.count, batch_functions.multiply, self._batches(columns))
        if factor > 0:
            return product
        return self._plus(product, self._offsets(layout, vector.count, 2 * terms), layout, terms)

    def rerandomise(self, vector: Ciphertexts) -> Ciphertexts:
        """The same values in fresh ciphertexts, which tell nothing of how they came about. Raises as `add`."""
        layout, _ = FixedPointLayout.parse(vector.layout)
        terms = self._terms(vector, layout, vector.count)
        batches = self._with_masks("ciphertexts", vector.data)
        return self._vector(layout, terms, vector.count, batch_functions.rerandomise, batches)

    def decrypt(self, layout: FixedPointLayout, vector: Ciphertexts) -> tuple[Integers, int]:
        """The integers, and of how many vectors they are the sum.

        Raises:
            WrongKey, WrongLayout, BadCiphertext: As `add`; BadKey without the private key.
        """
        rows, terms = self.decrypt_rows(layout, vector)
        return layout.unpack(rows, vector.count, terms), terms

    def decrypt_rows(self, layout: FixedPointLayout, vector: Ciphertexts) -> tuple[Rows, int]:
        """The plaintexts as they are packed, for `layout.unpack` here or elsewhere. Raises as `decrypt`."""
        terms = self._terms(vector, layout, vector.count)
        if not self._is_owner:
            raise BadKey(f"The public key {self.public.fingerprint[:12]} does not decrypt.")
        width = self.public.plaintext_bytes
        found = self._computed(batch_functions.decrypt, self._batches({"ciphertexts": vector.data}), width)
        return np.frombuffer(raw_of(found), dtype=np.uint8).reshape(-1, width), terms

    @contextmanager
    def preparing(self, count: int) -> Iterator[None]:
        """Make masks for the next `count` ciphertexts, within bounds, while the caller waits for something else."""
        stop = threading.Event()
        maker = threading.Thread(target=self._prepare, args=(count, stop), name="masks", daemon=True)
        maker.start()
        try:
            yield
        finally:
            stop.set()
            maker.join()

    def _prepare(self, count: int, stop: threading.Event) -> None:
        width, batch = self.public.ciphertext_bytes, pa.RecordBatch.from_arrays([pa.array([MASKS_AT_ONCE])], ["count"])
        count = min(count, MOST_PREPARED)
        with suppress(WorkerLost):  # what is missing is made when it is needed
            while (missing := count - len(self._stock) // width) > 0 and not stop.is_set():
                batches = min(-(-missing // MASKS_AT_ONCE), self._compute.cores)  # a single one starts no process
                for made in self._compute.map(batch_functions.masks, [batch] * batches, self._constants):
                    self._stock += raw_of(made["masks"])

    def _with_masks(self, name: str, values: pa.FixedSizeBinaryArray) -> Iterator[pa.RecordBatch]:
        """Batches of a column that is to be masked, with masks from the stock, each given out once, while it lasts."""
        width = self.public.ciphertext_bytes
        for batch in self._batches({name: values}):
            start = max(len(self._stock) - batch.num_rows * width, 0)
            given = bytes(self._stock[start:])
            del self._stock[start:]
            masks = given.ljust(batch.num_rows * width, b"\0")
            yield batch.append_column("masks", column(masks, width)) if given else batch

    def _plus(
        self, vector: Ciphertexts, plaintexts: pa.FixedSizeBinaryArray, layout: FixedPointLayout, terms: int
    ) -> Ciphertexts:
        columns = {"ciphertexts": vector.data, "plaintexts": plaintexts}
        return self._vector(layout, terms, vector.count, batch_functions.add_plain, self._batches(columns))

    def _plaintexts(self, layout: FixedPointLayout, integers: Integers) -> pa.FixedSizeBinaryArray:
        width = self.public.plaintext_bytes
        return column(layout.pack(integers, width).reshape(-1).data, width)

    def _offsets(self, layout: FixedPointLayout, count: int, times: int) -> pa.FixedSizeBinaryArray:
        """Plaintexts with `times` offsets in each slot that holds a value."""
        width, n = self.public.plaintext_bytes, int(self.public.n)
        rows = []
        for row in range(layout.plaintexts(count)):
            used = min(layout.slots, count - row * layout.slots)
            ones = sum(1 << (layout.slot_bits * slot) for slot in range(used))
            rows.append((times * layout.offset * ones % n).to_bytes(width, "big"))
        return column(b"".join(rows), width)

    def _batches(self, columns: Mapping[str, pa.Array]) -> Iterator[pa.RecordBatch]:
        """Columns of one length cut into batches."""
        whole = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        count, share = whole.num_rows, -(-whole.num_rows // (SHARES * self._compute.cores))
        size = ALONE if count <= ALONE else min(max(share, LEAST_AT_ONCE), MOST_AT_ONCE)
        return (whole.slice(start, size) for start in range(0, count, size))

    def _vector(
        self,
        layout: FixedPointLayout,
        terms: int,
        count: int,
        function: BatchFunction[BatchArithmetic],
        batches: Iterable[pa.RecordBatch],
    ) -> Ciphertexts:
        data = self._computed(function, batches, self.public.ciphertext_bytes)
        return Ciphertexts(self.public.fingerprint, layout.to_json(terms), count, data, self._owner)

    def _computed(
        self, function: BatchFunction[BatchArithmetic], batches: Iterable[pa.RecordBatch], width: int
    ) -> pa.FixedSizeBinaryArray:
        """The one column that a function makes, of `width` bytes a row, all batches together."""
        found = [batch.column(0) for batch in self._compute.map(function, batches, self._constants)]
        return cast("pa.FixedSizeBinaryArray", pa.concat_arrays(found or [column(b"", width)]))

    def _terms(self, vector: Ciphertexts, layout: FixedPointLayout, count: int) -> int:
        """The terms of a vector that belongs to this key and layout. Raises WrongKey, WrongLayout, BadCiphertext."""
        if (vector.key, vector.owner) != (self.public.fingerprint, self._owner):
            raise WrongKey(
                f"The vector is encrypted under {_key(vector.key, vector.owner)}, not under "
                f"{_key(self.public.fingerprint, self._owner)}."
            )
        found, terms = FixedPointLayout.parse(vector.layout)
        if found != layout or vector.count != count or count < 0:
            raise WrongLayout(f"{vector.count} values in {found} do not go with {count} values in {layout}.")
        self._require_fit(layout)
        if vector.data.type != pa.binary(self.public.ciphertext_bytes) or vector.data.null_count:
            raise BadCiphertext(f"Ciphertexts are {vector.data.type}, not {self.public.ciphertext_bytes} bytes each.")
        if len(vector.data) != layout.plaintexts(count):
            raise WrongLayout(f"{len(vector.data)} ciphertexts do not hold {count} values in {layout}.")
        return terms

    def _require_fit(self, layout: FixedPointLayout) -> None:
        if not layout.fits(self.public.bits):
            raise WrongLayout(f"{layout} does not fit under a key of {self.public.bits} bits.")


def slice_of(vector: Ciphertexts, start: int, stop: int) -> Ciphertexts:
    """The values from `start` to `stop`, without a copy. Raises WrongLayout unless both lie between ciphertexts."""
    layout, _ = FixedPointLayout.parse(vector.layout)
    if not 0 <= start <= stop <= vector.count or start % layout.slots or (stop % layout.slots and stop != vector.count):
        raise WrongLayout(f"Values {start} to {stop} of {vector.count} do not begin and end a ciphertext of {layout}.")
    data = vector.data[start // layout.slots : layout.plaintexts(stop)]
    return replace(vector, count=stop - start, data=data)


def _key(fingerprint: str, owner: str) -> str:
    return f"key {printable(fingerprint[:12])} of {printable(owner[:80]) or 'several'}"


def _require_room(layout: FixedPointLayout, terms: int) -> None:
    if terms > layout.additions:
        raise WrongLayout(f"{terms} vectors were to be added; their layout allows {layout.additions}.")
