from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import KeptFiles, Model, OutputKind, Store

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
    assert store.job_files.of(JOB) == KeptFiles(kept.checkpoint_bytes, 0, ())
    assert store.tables.list()[0].reference == "own/rows@1"
    assert store.tables.last(f"job-{JOB.lower()}/t-rows").rows == 3  # what was made of it is known still
    store.checkpoints().delete(JOB)
    assert store.job_files.jobs() == set()
