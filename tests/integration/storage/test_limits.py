"""Memory: an upload's does not grow with its file."""

from __future__ import annotations

import gzip
import json
import os
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
# Freed memory goes back to the system at once, so that the peak is what the upload holds, not what an allocator keeps.
NO_CACHES = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_MMAP_THRESHOLD_": "65536"}


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
    command = [sys.executable, "-c", UPLOAD, folder, *paths]
    done = subprocess.run(command, env=os.environ | NO_CACHES, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_the_memory_of_an_upload_does_not_grow_with_the_file(tmp_path, kind):
    small, large = str(tmp_path / f"small.{kind}"), str(tmp_path / f"large.{kind}")
    write_file(small, kind, 300_000)  # as CSV 46 MB, more than the 32 blocks that Arrow reads ahead
    write_file(large, kind, 2_000_000)
    of_small, of_large = peaks_mib(tmp_path / "store", small, large)
    # The larger file has 104 MiB more of values, 262 MB more of CSV. How many of the blocks read ahead are held at once
    # is up to the threads: that moves the peak by up to 40 MiB, whatever the file.
    assert of_large < of_small + 60
    assert of_large < 300


REFUSED = """
import json, re, sys
from storage.client import BadSource, SourceOptions, Store
import pyarrow.csv, storage.intake.csv_source
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
try:
    Store(sys.argv[1]).tables.upload(sys.argv[2], "ns/name", options=SourceOptions(**json.loads(sys.argv[3])))
except BadSource as error:
    print(json.dumps([error.message, peak() - before]))
"""


@pytest.mark.parametrize(
    ("start", "unit", "options", "says"),
    [
        (b"a,b\n", b"1,", {}, "line 2: a row of more than 1048576 bytes"),
        (b"a,b\n", b"1,", {"encoding": "latin-1"}, "line 2: a row of more than 1048576 bytes"),
        (b"a;b\n1;2\n", b'"1";', {"delimiter": ";"}, "line 3: a row of more than 1048576 bytes"),
        (b"a,b\n", b'"\n",', {}, "line 2: a row of more than 1048576 bytes"),
        (b'a,b\n1,"', b"x\n", {}, "line 2: a field of more than 131072 bytes"),
        (b"", b"1,", {}, "a table has at most 10000"),
        (b"", b"1,", {"no_header": True}, "a table has at most 10000"),
    ],
)
def test_a_row_without_end_is_refused_before_it_is_in_memory(tmp_path, start, unit, options, says):
    path = tmp_path / "data.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(15):
            file.write(unit * 1_000_000)
    command = [sys.executable, "-c", REFUSED, tmp_path / "store", path, json.dumps(options)]
    done = subprocess.run(command, env=os.environ | NO_CACHES, capture_output=True, text=True, check=True)
    message, grown = json.loads(done.stdout)
    assert says in message
    assert grown < 100
