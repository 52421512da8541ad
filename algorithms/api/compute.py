"""Data-parallel work: a named pure function over Arrow batches, on as many cores as an executor has.

A function says what is computed, never where: in this process, in worker processes (`algorithms.compute.workers`), or
on an engine. So it stands at the top of a module of this room or of a component's own package, and gets all it needs as
arguments; what crosses to where it runs is its name and bytes, never code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 4  # what was prepared of so many constants stays
P = TypeVar("P")


@dataclass(frozen=True)
class BatchFunction(Generic[P]):
    """What `batch_function` makes of a function.

    Attributes:
        prepare: From constants, which are the same for all batches of a map, to what `run` is given. It may cost more
            than a batch: what it returns is kept for later maps.
        run: From what was prepared and a batch to a batch; the same for the same, randomness aside.
    """

    prepare: Callable[[bytes], P]
    run: Callable[[P, pa.RecordBatch], pa.RecordBatch]

    @property
    def name(self) -> str:
        """`module:function`."""
        return f"{self.run.__module__}:{self.run.__qualname__}"


def batch_function(
    prepare: Callable[[bytes], P],
) -> Callable[[Callable[[P, pa.RecordBatch], pa.RecordBatch]], BatchFunction[P]]:
    """Make the function below one that `Compute.map` takes; `prepare` as in `BatchFunction`."""
    return lambda run: BatchFunction(prepare, run)


class Compute(Protocol):
    """Where functions run."""

    @property
    def cores(self) -> int:
        """How many batches are worked on at the same time."""

    def map(
        self, function: BatchFunction[Any], batches: Iterable[pa.RecordBatch], constants: bytes = b""
    ) -> Iterator[pa.RecordBatch]:
        """What the function makes of each batch, in order; batches are taken as there is room, a few for each core.

        Raises what the function raises, for any batch as soon as it is known; WorkerLost where a process that computed
        is gone.
        """


class InProcess:
    """Computes here, one batch after the other."""

    cores = 1

    def __init__(self) -> None:
        self._prepared = lru_cache(KEPT)(_prepared)

    def map(
        self, function: BatchFunction[Any], batches: Iterable[pa.RecordBatch], constants: bytes = b""
    ) -> Iterator[pa.RecordBatch]:
        """What the function makes of each batch, in order."""
        prepared = self._prepared(function.prepare, constants)
        return (function.run(prepared, batch) for batch in batches)


def _prepared(prepare: Callable[[bytes], Any], constants: bytes) -> Any:
    return prepare(constants)
