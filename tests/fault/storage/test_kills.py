"""Processes killed in the middle: nothing half-made is visible, and what was promised is still there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from storage.client import Journal, OutputKind, SourceOptions, Store, TableRoles

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
PUBLISH = """
import os, signal, sys
import pyarrow as pa
from party.ids import Address, AttemptId
from storage.client import OutputKind, Store, TableRoles
from storage.tables.versions import TableVersions
job, task, attempt = sys.argv[2].split("/")
store = Store(sys.argv[1])
address = Address.parse("guest:bank")
with store.staging.outputs(AttemptId(job, task, int(attempt)), address).table_writer(
    "t", pa.schema([("x", pa.int64())]), TableRoles()
) as writer:
    writer.write(pa.table({"x": [1, 2, 3]}))
TableVersions.create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.staging.publish(job, task, int(attempt), {str(address): {"t": OutputKind.TABLE}})
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


def killed_between_move_and_register(tmp_path):
    """What a publisher has moved to where tables lie, and no manifest names."""
    with start(PUBLISH, tmp_path / "store", "01J/task/1") as process:
        assert process.wait() == -signal.SIGKILL
    (part,) = (tmp_path / "store/tables/job-01j/task-t/data").rglob("part-*.arrow")
    return part


def test_a_publisher_killed_before_it_registers_a_table_publishes_it_when_it_is_asked_again(tmp_path):
    part, store = killed_between_move_and_register(tmp_path), Store(tmp_path / "store")
    assert store.tables.list() == []
    (made,) = store.staging.publish("01J", "task", 1, {"guest:bank": {"t": OutputKind.TABLE}})
    assert made.reference == "job-01j/task-t@1"
    store.staging.discard("01J")
    assert not part.exists()
    assert store.tables.open(made.reference).to_arrow().column("x").to_pylist() == [1, 2, 3]


def test_what_a_killed_publisher_has_moved_goes_when_its_job_ends(tmp_path):
    part, store = killed_between_move_and_register(tmp_path), Store(tmp_path / "store")
    store.staging.discard("01J")
    assert not part.exists()
    assert not list((tmp_path / "store/tables").rglob("*.lock"))
    assert store.tables.list() == []


def test_a_journal_survives_the_kill_of_its_process(tmp_path):
    path = tmp_path / "journal"
    with start(JOURNAL, path) as process:
        printed = dict(line.split() for line in process.stdout)
        assert process.wait() == -signal.SIGKILL
    assert len(printed) == 20
    journal = Journal(path, KEY)
    for i, value in printed.items():
        assert journal.once(f"name-{i}", lambda: pytest.fail("made twice")).hex() == value
