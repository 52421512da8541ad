"""Processes killed in the middle: nothing half-made is visible, and what was promised is still there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from storage.client import Journal, SourceOptions, Store, TableRoles

KEY = bytes(32)
UPLOAD = """
import sys
from pathlib import Path
from storage.client import SourceOptions, Store, TableRoles
def progress(done, total):
    if done > 0:
        print("now", flush=True)
        sys.stdin.read()
how = {"options": SourceOptions(roles=TableRoles(id="id")), "partition_rows": 1000, "progress": progress}
Store(sys.argv[1]).tables.upload(sys.argv[2], "ns/name", **how)
"""
JOURNAL = """
import os, signal, sys
from storage.client import Journal
journal = Journal(sys.argv[1], bytes(32))
for i in range(20):
    value = journal.once(f"name-{i}", lambda: os.urandom(32))
    print(i, value.hex(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_an_upload_killed_in_the_middle_leaves_nothing_visible_and_is_swept_by_the_next(tmp_path):
    source, store = tmp_path / "data.csv", Store(tmp_path / "store")
    source.write_text("id,x\n" + "".join(f"{i},{i}.25\n" for i in range(200_000)))
    with start(UPLOAD, tmp_path / "store", source) as process:
        assert process.stdout.readline() == "now\n"
        parts = list((tmp_path / "store").rglob("part-*.arrow"))
        assert parts
        store.tables.writer("ns/name", pa.schema([("x", pa.int64())])).abandon()
        assert all(part.exists() for part in parts)
        process.kill()
        process.wait()
    assert store.tables.list() == []
    assert store.tables.upload(source, "ns/name", options=SourceOptions(roles=TableRoles(id="id"))).version == 1
    assert not any(part.exists() for part in parts)
    assert store.tables.open("ns/name").rows == 200_000


def test_a_journal_survives_the_kill_of_its_process(tmp_path):
    path = tmp_path / "journal"
    with start(JOURNAL, path) as process:
        printed = dict(line.split() for line in process.stdout)
        assert process.wait() == -signal.SIGKILL
    assert len(printed) == 20
    journal = Journal(path, KEY)
    for i, value in printed.items():
        assert journal.once(f"name-{i}", lambda: pytest.fail("made twice")).hex() == value
