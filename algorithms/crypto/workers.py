"""Batch arithmetic on several cores: worker processes of this one's own, started when there is enough to do.

A worker is executed afresh, not forked: the process that wants it may have threads (gRPC's, a notebook's). It gets
the key over a socket pair, shares nothing else, stays in this process's group, and ends when this process does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TypeAlias, cast

from algorithms.crypto.batch import BatchArithmetic, Raw
from algorithms.crypto.paillier import PrivateKey, PublicKey
from algorithms.crypto.worker import DONE, carry_out, pack, pack_key, unpack
from algorithms.errors import BadCiphertext, WorkerLost

Order: TypeAlias = Sequence[Raw]
LEAST_ORDERS = 2  # what is less is done at once, in this process


class Workers:
    """Carries out orders under one key, on `cores` cores; with one core, in this process.

    Args:
        key: The public key, or the private one.
        expected: About how many masks will be made; sizes the tables.
        cores: How many processes may compute at the same time.
    """

    def __init__(self, key: PublicKey | PrivateKey, expected: int, cores: int = 1) -> None:
        self._key = key
        self._expected = expected
        self._cores = cores
        self._own = BatchArithmetic(key, expected)
        self._lines: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._close = weakref.finalize(self, _let_go, self._lines, self._processes)

    @property
    def cores(self) -> int:
        """How many batches are worked on at the same time."""
        return self._cores

    def each(self, orders: Iterable[Order]) -> Iterator[Raw]:
        """The results in the order of the orders, which are taken as workers get free.

        Raises BadCiphertext, and WorkerLost if a worker process ends.
        """
        if self._cores == 1:
            return (carry_out(self._own, order) for order in orders)
        return self._shared_out(iter(orders))

    def close(self) -> None:
        """End the worker processes."""
        self._close()

    def _shared_out(self, orders: Iterator[Order]) -> Iterator[Raw]:
        first = [order for _, order in zip(range(LEAST_ORDERS), orders, strict=False)]
        if len(first) < LEAST_ORDERS:
            yield from (carry_out(self._own, order) for order in first)
            return
        waiting, busy, numbers = deque(first), dict[Connection, int](), iter(range(sys.maxsize))
        done: dict[int, Raw] = {}
        told = 0
        try:
            self._start()
            idle = list(self._lines)
            while True:
                while idle and (order := waiting.popleft() if waiting else next(orders, None)) is not None:
                    line = idle.pop()
                    busy[line] = next(numbers)
                    _send(line, pack(order))
                if not busy:
                    return
                for line in cast("list[Connection]", wait(list(busy))):
                    done[busy.pop(line)] = _received(line)
                    idle.append(line)
                while told in done:
                    yield done.pop(told)
                    told += 1
        except BaseException:  # what the others still say is nobody's answer; the next call starts new ones
            self.close()
            raise

    def _start(self) -> None:
        if self._lines and self._close.alive:
            return
        self._lines, self._processes = [], []
        self._close = weakref.finalize(self, _let_go, self._lines, self._processes)
        share = -(-self._expected // self._cores)
        for _ in range(self._cores):
            line, process = _start_one()
            self._lines.append(line)
            self._processes.append(process)
            _send(line, pack_key(self._key, share))


def _start_one() -> tuple[Connection, subprocess.Popen[bytes]]:
    """A worker process and the line to it. Raises WorkerLost."""
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [sys.executable, "-P", "-m", "algorithms.crypto.worker", str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            return Connection(ours.detach()), process
    except OSError as error:
        raise WorkerLost(
            f"No worker process could be started: {error}.", hint="Is the limit of processes or open files reached?"
        ) from error


def _send(line: Connection, message: bytes) -> None:
    try:
        line.send_bytes(message)
    except OSError as error:
        raise _lost() from error


def _received(line: Connection) -> Raw:
    try:
        status, *parts = unpack(line.recv_bytes())
    except (EOFError, OSError) as error:
        raise _lost() from error
    if status == DONE:
        return parts[0]
    message, hint = (bytes(part).decode() for part in parts)
    raise BadCiphertext(message, hint=hint)


def _lost() -> WorkerLost:
    return WorkerLost(
        f"A worker process of {os.getpid()} ended while it computed.", hint="Was it killed for memory? Try again."
    )


def _let_go(lines: list[Connection], processes: list[subprocess.Popen[bytes]]) -> None:
    for line in lines:
        line.close()
    for process in processes:
        process.wait()
    lines.clear()
    processes.clear()
