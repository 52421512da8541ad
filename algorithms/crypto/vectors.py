"""Vectors under Paillier: encrypt, add, multiply, slice, decrypt; every operation checks key and layout.

An encrypted vector is `storage.client.Ciphertexts`: a fixed-size binary column of 2 * key bits per ciphertext and
not one more, the key's fingerprint, the layout with the number of vectors added, and the count of values. A sum of
fresh ciphertexts is as random as a fresh one and need not be randomised again before it leaves; what was computed
from somebody else's ciphertexts (`add_plain`, `multiply`) tells what was done to it until `rerandomise`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

import numpy as np
import pyarrow as pa

from algorithms.crypto.batch import Raw
from algorithms.crypto.packing import FixedPointLayout, Integers, Rows
from algorithms.crypto.paillier import PrivateKey, PublicKey
from algorithms.crypto.workers import Order, Workers
from algorithms.errors import BadCiphertext, BadKey, WorkerLost, WrongKey, WrongLayout
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
        cores: How many cores may compute.
    """

    def __init__(self, key: PublicKey | PrivateKey, expected: int = 1, cores: int = 1) -> None:
        self.public = key.public if isinstance(key, PrivateKey) else key
        self._is_owner = isinstance(key, PrivateKey)
        self._workers = Workers(key, expected, cores)
        self._stock = bytearray()  # masks made in advance, each for one use

    def encrypt(self, layout: FixedPointLayout, integers: Integers) -> Ciphertexts:
        """The encrypted vector of fixed-point integers that `layout` made. Raises WrongLayout."""
        self._require_fit(layout)
        rows = layout.pack(integers, self.public.plaintext_bytes)
        orders = (_order(b"encrypt", _bytes(rows[a:b]), self._prepared(b - a)) for a, b in self._cuts(len(rows)))
        return self._vector(layout, 1, len(integers), orders, len(rows))

    def add(self, vectors: Sequence[Ciphertexts], layout: FixedPointLayout | None = None) -> Ciphertexts:
        """The encrypted sum, of vectors in `layout` if it is given, else in that of the first.

        Raises:
            WrongKey, WrongLayout, BadCiphertext: Another key, unlike layouts or lengths, too many terms, no unit.
        """
        layout = layout or FixedPointLayout.parse(vectors[0].layout)[0]
        terms = sum(self._terms(vector, layout, vectors[0].count) for vector in vectors)
        _require_room(layout, terms)
        raws = [_raw(vector) for vector in vectors]
        orders = (_order(b"add", *(_bytes(raw[a:b]) for raw in raws)) for a, b in self._cuts(len(raws[0])))
        return self._vector(layout, terms, vectors[0].count, orders, len(raws[0]))

    def add_plain(self, vector: Ciphertexts, integers: Integers) -> Ciphertexts:
        """The sum of a vector and of fixed-point integers in the clear. Raises what `add` raises."""
        layout, _ = FixedPointLayout.parse(vector.layout)
        terms = self._terms(vector, layout, len(integers)) + 1
        _require_room(layout, terms)
        return self._plus(vector, layout.pack(integers, self.public.plaintext_bytes), layout, terms)

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
        raw, times = _raw(vector), str(factor).encode()
        orders = (_order(b"multiply", _bytes(raw[a:b]), times) for a, b in self._cuts(len(raw)))
        product = self._vector(layout, terms, vector.count, orders, len(raw))
        if factor > 0:
            return product
        return self._plus(product, self._offsets(layout, vector.count, 2 * terms), layout, terms)

    def rerandomise(self, vector: Ciphertexts) -> Ciphertexts:
        """The same values in fresh ciphertexts, which tell nothing of how they came about. Raises as `add`."""
        layout, _ = FixedPointLayout.parse(vector.layout)
        terms, raw = self._terms(vector, layout, vector.count), _raw(vector)
        orders = (_order(b"rerandomise", _bytes(raw[a:b]), self._prepared(b - a)) for a, b in self._cuts(len(raw)))
        return self._vector(layout, terms, vector.count, orders, len(raw))

    def decrypt(self, layout: FixedPointLayout, vector: Ciphertexts) -> tuple[Integers, int]:
        """The integers, and of how many vectors they are the sum.

        Raises:
            WrongKey, WrongLayout, BadCiphertext: As `add`; BadKey without the private key.
        """
        rows, terms = self.decrypt_rows(layout, vector)
        return layout.unpack(rows, vector.count, terms), terms

    def decrypt_rows(self, layout: FixedPointLayout, vector: Ciphertexts) -> tuple[Rows, int]:
        """The plaintexts as they are packed, for `layout.unpack` here or elsewhere. Raises as `decrypt`."""
        terms, raw = self._terms(vector, layout, vector.count), _raw(vector)
        if not self._is_owner:
            raise BadKey(f"The public key {self.public.fingerprint[:12]} does not decrypt.")
        rows = np.empty((len(raw), self.public.plaintext_bytes), dtype=np.uint8)
        self._fill(rows, (_order(b"decrypt", _bytes(raw[a:b])) for a, b in self._cuts(len(raw))))
        return rows, terms

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

    def close(self) -> None:
        """End the worker processes, forget the masks."""
        self._workers.close()
        self._stock.clear()

    def _prepare(self, count: int, stop: threading.Event) -> None:
        width, order = self.public.ciphertext_bytes, _order(b"masks", MASKS_AT_ONCE.to_bytes(2, "big"))
        count = min(count, MOST_PREPARED)
        with suppress(WorkerLost):  # what is missing is made when it is needed
            while (missing := count - len(self._stock) // width) > 0 and not stop.is_set():
                batches = min(-(-missing // MASKS_AT_ONCE), self._workers.cores)  # a single one starts no process
                for masks in self._workers.each([order] * batches):
                    self._stock += masks

    def _prepared(self, count: int) -> bytes:
        """Masks from the stock, each given out once; fewer than `count`, or none, if it has no more."""
        size = min(count * self.public.ciphertext_bytes, len(self._stock))
        start = len(self._stock) - size
        masks = bytes(self._stock[start:])
        del self._stock[start:]
        return masks

    def _plus(self, vector: Ciphertexts, rows: Rows, layout: FixedPointLayout, terms: int) -> Ciphertexts:
        raw = _raw(vector)
        orders = (_order(b"add_plain", _bytes(raw[a:b]), _bytes(rows[a:b])) for a, b in self._cuts(len(raw)))
        return self._vector(layout, terms, vector.count, orders, len(raw))

    def _offsets(self, layout: FixedPointLayout, count: int, times: int) -> Rows:
        """Plaintexts with `times` offsets in each slot that holds a value."""
        width, n = self.public.plaintext_bytes, int(self.public.n)
        rows = np.empty((layout.plaintexts(count), width), dtype=np.uint8)
        for row in range(len(rows)):
            used = min(layout.slots, count - row * layout.slots)
            ones = sum(1 << (layout.slot_bits * slot) for slot in range(used))
            rows[row] = np.frombuffer((times * layout.offset * ones % n).to_bytes(width, "big"), dtype=np.uint8)
        return rows

    def _cuts(self, count: int) -> list[tuple[int, int]]:
        """Where a column is cut into batches."""
        share = -(-count // (SHARES * self._workers.cores))
        size = ALONE if count <= ALONE else min(max(share, LEAST_AT_ONCE), MOST_AT_ONCE)
        return [(start, min(start + size, count)) for start in range(0, count, size)]

    def _vector(
        self, layout: FixedPointLayout, terms: int, count: int, orders: Iterable[Order], ciphertexts: int
    ) -> Ciphertexts:
        width = self.public.ciphertext_bytes
        buffer = pa.allocate_buffer(ciphertexts * width)
        self._fill(np.frombuffer(buffer, dtype=np.uint8).reshape(ciphertexts, width), orders)
        column = pa.Array.from_buffers(pa.binary(width), ciphertexts, [None, buffer])
        data = cast("pa.FixedSizeBinaryArray", column)
        return Ciphertexts(key=self.public.fingerprint, layout=layout.to_json(terms), count=count, data=data)

    def _fill(self, rows: Rows, orders: Iterable[Order]) -> None:
        at = 0
        for result in self._workers.each(orders):
            batch = np.frombuffer(result, dtype=np.uint8).reshape(-1, rows.shape[1])
            rows[at : at + len(batch)] = batch
            at += len(batch)

    def _terms(self, vector: Ciphertexts, layout: FixedPointLayout, count: int) -> int:
        """The terms of a vector that belongs to this key and layout. Raises WrongKey, WrongLayout, BadCiphertext."""
        if vector.key != self.public.fingerprint:
            raise WrongKey(f"The vector is encrypted under key {vector.key[:12]}, not {self.public.fingerprint[:12]}.")
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
    return Ciphertexts(key=vector.key, layout=vector.layout, count=stop - start, data=data)


def _require_room(layout: FixedPointLayout, terms: int) -> None:
    if terms > layout.additions:
        raise WrongLayout(f"{terms} vectors were to be added; their layout allows {layout.additions}.")


def _order(name: bytes, *batches: Raw) -> Order:
    return (name, *batches)


def _bytes(rows: Rows) -> memoryview:
    """Rows one after the other, without a copy."""
    return rows.reshape(-1).data


def _raw(vector: Ciphertexts) -> Rows:
    """The ciphertexts as rows of bytes: a view of the Arrow buffer."""
    width, count = vector.data.type.byte_width, len(vector.data)
    if not count:
        return np.zeros((0, width), dtype=np.uint8)
    raw = np.frombuffer(
        vector.data.buffers()[1], dtype=np.uint8, count=count * width, offset=vector.data.offset * width
    )
    return raw.reshape(count, width)
