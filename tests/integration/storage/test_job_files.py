from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import KeptFiles, Model, OutputKind, Store
from storage.place import Place

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
AT = Address.parse("guest:a")


def test_outputs_and_checkpoints_of_a_job_are_found_and_outputs_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path, key=b"k" * 32)
    attempt = AttemptId(JobId(JOB), TaskName("t"), 1)
    rows = pa.table({"x": [1, 2, 3]})
    with store.tables.writer("own/rows", rows.schema) as writer:
        writer.write(rows)
    assert store.job_files.jobs() == set()
    store.checkpoints().save(attempt, AT, 1, {"w": 1})
    assert store.job_files.jobs() == {JOB}
    staged = store.staging.outputs(attempt, AT)
    staged.save_table("rows", rows, store.tables.manifest("own/rows").roles)
    staged.save_model("model", Model("toy", 1, {}, {}))
    staged.save_report("roc", "toy", 1, {"auc": 1})
    declared = {"rows": OutputKind.TABLE, "model": OutputKind.MODEL, "roc": OutputKind.REPORT}
    store.staging.publish(JOB, "t", 1, {str(AT): declared})
    kept = store.job_files.of(JOB)
    assert kept.outputs == (f"job-{JOB.lower()}/t-rows@1", f"{JOB}/t.model", f"{JOB}/t.roc")
    assert min(kept.checkpoint_bytes, kept.output_bytes) > 0
    store.job_files.delete_outputs(JOB)
    assert store.job_files.of(JOB) == KeptFiles(True, kept.checkpoint_bytes, 0, ())
    assert store.tables.list()[0].reference == "own/rows@1"
    assert store.tables.last(f"job-{JOB.lower()}/t-rows").rows == 3  # what was made of it is known still
    store.checkpoints().delete(JOB)
    assert store.job_files.jobs() == set()
    assert not store.job_files.of(JOB).checkpoints


def test_a_job_that_made_only_reports_has_their_bytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    staged = store.staging.outputs(AttemptId(JobId(JOB), TaskName("t"), 1), AT)
    staged.save_report("roc", "toy", 1, {"auc": 1})
    store.staging.publish(JOB, "t", 1, {str(AT): {"roc": OutputKind.REPORT}})
    kept = store.job_files.of(JOB)
    assert kept.outputs == (f"{JOB}/t.roc",)
    assert kept.output_bytes > 0
    assert not kept.checkpoints


def test_checkpoints_are_found_in_a_store_that_is_not_on_this_disk() -> None:
    memory, _ = fs.FileSystem.from_uri("mock:///")
    store = Store(Place(memory, "store"), key=b"k" * 32)
    store.checkpoints().save(AttemptId(JobId(JOB), TaskName("t"), 1), AT, 1, {"w": 1})
    kept = store.job_files.of(JOB)
    assert (kept.checkpoints, kept.checkpoint_bytes) == (True, 0)
