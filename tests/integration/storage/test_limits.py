"""Memory and speed: an upload's memory does not grow with its file, and reading is as fast as the memory map."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, ipc, parquet

UPLOAD = """
import re, sys
from storage.client import Store
for path in sys.argv[2:]:
    Store(sys.argv[1]).tables.upload(path, "ns/name", partition_rows=50_000)
    print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def write_file(path, kind, rows):
    rng = np.random.default_rng(0)
    table = pa.table({f"x{i}": rng.random(50_000) for i in range(8)})
    schema = table.schema
    times = rows // table.num_rows
    if kind == "csv":
        with csv.CSVWriter(path, schema) as writer:
            for _ in range(times):
                writer.write_table(table)
    elif kind == "parquet":
        with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for _ in range(times):
                writer.write_table(table)
    else:
        with ipc.new_file(path, schema) as writer:
            for _ in range(times):
                writer.write_table(table)


def peaks_mib(folder, *paths):
    """The peak so far after each upload, in one process."""
    done = subprocess.run([sys.executable, "-c", UPLOAD, folder, *paths], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_the_memory_of_an_upload_does_not_grow_with_the_file(tmp_path, kind):
    small, large = str(tmp_path / f"small.{kind}"), str(tmp_path / f"large.{kind}")
    write_file(small, kind, 100_000)  # as CSV 15 blocks, 2 partitions
    write_file(large, kind, 500_000)
    of_small, of_large = peaks_mib(tmp_path / "store", small, large)
    assert of_large < of_small + 30  # the larger file has 26 MiB more of values, 62 MB more of CSV
    assert of_large < 300
