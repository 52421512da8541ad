"""Batches on several cores: worker processes of this one's own, started when there is enough to do.

A worker is executed afresh where nobody says better, not forked: the process that wants it may have threads (gRPC's,
a notebook's). It gets what it computes over a socket pair, shares nothing else, stays in this process's group, and ends
when this process does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from threading import Lock
from typing import Any, cast

import pyarrow as pa

from algorithms.api.compute import BatchFunction, InProcess
from algorithms.api.errors import WorkerLost
from algorithms.compute.worker import FAILED, decoded, encoded, find
from runtime.problems import carried

LEAST_BATCHES = 2  # what is less is done at once, in this process
AHEAD = 4  # batches for each core that were taken and whose results were not asked for yet
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of an allocator that Arrow brings and does not use
}


Begin = Callable[[socket.socket], Callable[[], object]]
"""Begins a worker that speaks over this end of a line, and returns what waits for its end. Raises OSError."""


def executed(end: socket.socket) -> Callable[[], object]:
    """Begin a worker by executing Python afresh."""
    command = [sys.executable, "-P", "-m", "algorithms.compute.worker", str(end.fileno())]
    environment = os.environ | ONE_THREAD
    return subprocess.Popen(command, pass_fds=[end.fileno()], stdin=subprocess.DEVNULL, env=environment).wait


class Workers:
    """Computes on `cores` cores; on one, or where other maps use all, in this process. For any thread.

    The processes stay until `close`, or until nobody uses the object.
    """

    def __init__(self, cores: int = 1, begin: Begin = executed) -> None:
        self.cores = cores
        self._begin = begin
        self._here = InProcess()
        self._lock = Lock()
        self._all: list[_Worker] = []
        self._free: list[_Worker] = []
        weakref.finalize(self, _end, self._all)

    def map(
        self, function: BatchFunction[Any], batches: Iterable[pa.RecordBatch], constants: bytes = b""
    ) -> Iterator[pa.RecordBatch]:
        """What the function makes of each batch, in order; see `algorithms.api.compute.Compute`.

        Raises:
            UnknownFunction: It is not where a worker may look for it.
            WorkerLost: A worker ended or could not be started.
            RuntimeError: The function failed in a worker, which wrote a traceback.
        """
        find(function.name)
        feed = iter(batches)
        first = list(islice(feed, LEAST_BATCHES))
        feed = chain(first, feed)
        team = self._taken() if self.cores > 1 and len(first) == LEAST_BATCHES else []
        if not team:
            yield from self._here.map(function, feed, constants)
            return
        try:
            yield from _shared_out(team, (function.name, constants), feed)
        finally:
            self._give_back(team)

    def close(self) -> None:
        """End the worker processes."""
        with self._lock:
            self._drop(self._all.copy())

    def _taken(self) -> list[_Worker]:
        """The workers that no other map uses. Raises WorkerLost."""
        with self._lock:
            self._drop([worker for worker in self._free if worker.has_ended()])
            while len(self._all) < self.cores:
                worker = _Worker(self._begin)
                self._all.append(worker)
                self._free.append(worker)
            team, self._free = self._free, []
            return team

    def _give_back(self, team: list[_Worker]) -> None:
        with self._lock:
            self._free += team
            self._drop([worker for worker in team if worker.owes])  # what it still says is nobody's answer

    def _drop(self, workers: list[_Worker]) -> None:
        _end(workers)
        self._all[:] = [worker for worker in self._all if worker not in workers]
        self._free = [worker for worker in self._free if worker not in workers]


class _Worker:
    """One process and the line to it.

    Attributes:
        owes: Whether it has a batch, or is gone.
    """

    def __init__(self, begin: Begin) -> None:
        self.owes = False
        self._knows = ("", b"")
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                self._await_end = begin(theirs)
                self._line = Connection(ours.detach())
        except OSError as error:
            raise WorkerLost(
                f"No worker process could be started: {error}.", hint="Is the limit of processes or open files reached?"
            ) from error

    def fileno(self) -> int:
        """Can be read when the answer is there."""
        return self._line.fileno()

    def send(self, order: tuple[str, bytes], batch: pa.RecordBatch) -> None:
        """Give it a batch. Raises WorkerLost, RuntimeError."""
        self.owes = True
        name, constants = order
        try:
            for message in (b"",) if order == self._knows else (name.encode(), constants):
                self._line.send_bytes(message)
            self._line.send_bytes(encoded(batch))
        except OSError as error:
            raise self._lost(name) from error
        self._knows = order

    def receive(self) -> pa.RecordBatch:
        """What it made of the batch. Raises what the function raised, WorkerLost, RuntimeError."""
        try:
            problem = self._line.recv_bytes()
            result = b"" if problem else self._line.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost(self._knows[0]) from error
        self.owes = False
        if problem == FAILED:
            self.owes = True  # it is gone
            raise RuntimeError(f"{self._knows[0]} failed in a worker process, which wrote a traceback.")
        if problem:
            raise carried(problem.decode()) or RuntimeError("A worker process told an error that cannot be read.")
        return decoded(result)

    def has_ended(self) -> bool:
        """Whether the process is gone, killed for instance."""
        return self._line.poll()  # of one that owes nothing there is nothing to read but the end

    def close(self) -> None:
        """Let it end, and wait for that."""
        self._line.close()
        self._await_end()

    def _lost(self, name: str) -> Exception:
        self.close()
        return WorkerLost(
            f"A worker process of {os.getpid()} ended while it computed {name}.",
            hint="Was it killed for memory? Try again.",
        )


def _shared_out(
    team: list[_Worker], order: tuple[str, bytes], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Each worker has one batch at a time; results wait for those of earlier batches."""
    idle, busy = team.copy(), dict[_Worker, int]()
    done: dict[int, pa.RecordBatch] = {}
    taken = told = 0
    while True:
        while idle and taken - told < AHEAD * len(team) and (batch := next(batches, None)) is not None:
            worker = idle.pop()
            busy[worker] = taken
            worker.send(order, batch)
            taken += 1
        if told in done:
            yield done.pop(told)
            told += 1
        elif busy:
            for worker in cast("list[_Worker]", wait(list[Any](busy))):
                done[busy.pop(worker)] = worker.receive()
                idle.append(worker)
        else:
            return


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.close()
