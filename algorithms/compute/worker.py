"""A process that computes batches for another one; `python -m algorithms.compute.worker FD` by workers.py only.

It speaks over one end of a socket pair and ends when the other end is closed. An order is the name of a function and
its constants, or nothing where they are those of the order before, and then a batch; an answer is nothing and then a
batch, or an error, or `FAILED`, the last word of a process that failed. A batch is an Arrow stream. The process has one
thread.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from algorithms.api.compute import BatchFunction, InProcess
from algorithms.api.errors import UnknownFunction
from runtime.errors import PlatformError
from runtime.problems import packed
from storage.frames import read_stream, write_stream

OURS = "algorithms"
FAILED = b"failed"


@cache
def find(name: str) -> BatchFunction[Any]:
    """The function of that name in this room or in a component's package. Raises UnknownFunction."""
    module, _, function = name.partition(":")
    if _may_hold_functions(module.partition(".")[0]):
        found = getattr(import_module(module), function, None)
        if isinstance(found, BatchFunction) and found.name == name:
            return found
    raise UnknownFunction(
        f"There is no function '{name}' over batches.",
        hint="Such a function stands at the top of a module of this platform or of an installed component's package.",
    )


def _may_hold_functions(package: str) -> bool:
    if package == OURS:
        return True
    from algorithms.registry import packages  # much to import, and not needed for ours

    return package in packages()


def encoded(batch: pa.RecordBatch) -> pa.Buffer:
    """A batch as it crosses."""
    return write_stream(batch.schema, [batch])


def decoded(data: bytes) -> pa.RecordBatch:
    """The batch of `encoded`, as a view of the bytes. Raises ValueDamaged."""
    (batch,) = read_stream(data)[1]
    return batch


def main(handle: int) -> None:
    """Carry out orders until nobody gives any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that gives the orders
    here = InProcess()
    with Connection(handle) as line:
        for name, constants, batch in _orders(line):
            try:
                (result,) = here.map(find(name), [batch], constants)
                answer: tuple[Any, ...] = (b"", encoded(result))
            except PlatformError as error:
                answer = (packed(error).encode(),)
            except BaseException:
                with suppress(ConnectionError):
                    line.send_bytes(FAILED)
                raise
            with suppress(ConnectionError):
                for message in answer:
                    line.send_bytes(message)


def _orders(line: Connection) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
    name, constants = "", b""
    with suppress(EOFError, ConnectionError):
        while True:
            if another := line.recv_bytes():
                name, constants = another.decode(), line.recv_bytes()
            yield name, constants, decoded(line.recv_bytes())


if __name__ == "__main__":
    main(int(sys.argv[1]))
