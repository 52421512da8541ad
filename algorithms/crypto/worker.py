"""A process that does batch arithmetic for another one; `python -m algorithms.crypto.worker FD` by workers.py only.

It speaks over one end of a socket pair: an order is a list of byte strings, an answer too (`pack` and `unpack`). The
first order is the key. It imports neither NumPy nor Arrow, and ends when the other end is closed.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

from gmpy2 import mpz

from algorithms.crypto.batch import BatchArithmetic, Raw
from algorithms.crypto.paillier import Keygen, PrivateKey, PublicKey, to_bytes
from algorithms.errors import BadCiphertext

DONE, FAILED = b"done", b"failed"
_SIZE = struct.Struct("<Q")


def pack(parts: Sequence[Raw]) -> bytes:
    """Byte strings as one."""
    return b"".join(_SIZE.pack(len(part)) + bytes(part) for part in parts)


def unpack(message: bytes) -> list[memoryview]:
    """The byte strings of `pack`."""
    view, parts = memoryview(message), []
    while view:
        end = _SIZE.size + _SIZE.unpack_from(view)[0]
        parts.append(view[_SIZE.size : end])
        view = view[end:]
    return parts


def pack_key(key: PublicKey | PrivateKey, expected: int) -> bytes:
    """What a worker needs to know of a key, whichever half it is."""
    numbers: tuple[mpz | None, ...]
    if isinstance(key, PrivateKey):
        kind, keygen, numbers = b"private", key.public.keygen, (key.p, key.q, key.h, key.a_p, key.a_q)
    else:
        kind, keygen, numbers = b"public", key.keygen, (key.n, key.h)
    known = (to_bytes(number or mpz(0)) for number in (mpz(expected), *numbers))
    return pack([kind, keygen.encode(), *known])


def unpack_key(message: bytes) -> BatchArithmetic:
    """The arithmetic under the key of `pack_key`."""
    kind, keygen, expected, *rest = unpack(message)
    numbers = [mpz.from_bytes(bytes(raw), "big") or None for raw in rest]
    first, second = numbers[0] or mpz(0), numbers[1]
    if bytes(kind) == b"public":
        how: Keygen = "subgroup" if bytes(keygen) == b"subgroup" else "standard"
        key: PublicKey | PrivateKey = PublicKey(first, second, how)
    else:
        key = PrivateKey(first, second or mpz(0), *numbers[2:])
    return BatchArithmetic(key, int.from_bytes(expected, "big"))


def carry_out(arithmetic: BatchArithmetic, order: Sequence[Raw]) -> bytes:
    """Do one order: the name of a function of BatchArithmetic from a closed list, then its batches."""
    name, *batches = order
    match bytes(name):
        case b"masks":
            return arithmetic.masks(int.from_bytes(batches[0], "big"))
        case b"encrypt":
            return arithmetic.encrypt(batches[0], batches[1])
        case b"decrypt":
            return arithmetic.decrypt(batches[0])
        case b"add":
            return arithmetic.add(batches)
        case b"add_plain":
            return arithmetic.add_plain(batches[0], batches[1])
        case b"multiply":
            return arithmetic.multiply(batches[0], int(bytes(batches[1])))
        case b"rerandomise":
            return arithmetic.rerandomise(batches[0], batches[1])
        case _:
            raise ValueError(f"There is no order {bytes(name)!r}.")


def main(handle: int) -> None:
    """Carry out orders until nobody gives any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that gives the orders
    with Connection(handle) as orders:
        try:
            arithmetic = unpack_key(orders.recv_bytes())
            while True:
                order = unpack(orders.recv_bytes())
                try:
                    answer = pack([DONE, carry_out(arithmetic, order)])
                except BadCiphertext as error:
                    answer = pack([FAILED, error.message.encode(), error.hint.encode()])
                orders.send_bytes(answer)
        except (EOFError, ConnectionError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
