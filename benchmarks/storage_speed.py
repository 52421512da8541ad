"""How fast a cached table is read into NumPy and how fast values are encoded, beside a plain copy in memory."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.report import tell
from storage.client import Store, decode, encode

TURNS = 5
ROWS, COLUMNS = 1_000_000, 8


def main() -> None:
    """Measure and tell."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        table = pa.table({f"x{i}": random.random(ROWS) for i in range(COLUMNS)})
        with store.tables.writer("ns/name", table.schema) as writer:
            writer.write(table)

        def scan() -> None:
            for batch in store.tables.open("ns/name").batches():
                for column in batch.columns:
                    column.to_numpy().sum()

        array = random.random(ROWS * COLUMNS)
        encoded = encode(array)
        works: dict[str, Callable[[], object]] = {
            "copy in memory": array.copy,
            "scan of a cached table": scan,
            "table as one matrix": lambda: store.tables.open("ns/name").matrix(),
            "encode": lambda: encode(array),
            "decode": lambda: decode(encoded),
        }
        seconds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(TURNS):
            for name, work in works.items():
                begin = time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - begin)
    copy = statistics.median(seconds["copy in memory"])
    tell("storage_speed", [_row(name, times, array.nbytes, copy) for name, times in seconds.items()])


def _row(what: str, times: list[float], size: int, copy: float) -> dict[str, object]:
    median = statistics.median(times)
    return {"what": what, "median_s": median, "gb_per_s": size / median / 1e9, "times_a_copy": median / copy}


if __name__ == "__main__":
    main()
