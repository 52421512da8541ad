"""One contract, two places: a local disk and a file system that is not local. Tables, models, staging on both."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import fs

from party.ids import Address, AttemptId, JobId, Role, TaskName, party_id
from storage.client import (
    AlreadyPublished,
    BadReference,
    Damaged,
    Model,
    ModelNotFound,
    OutputKind,
    Place,
    ReportNotFound,
    Store,
    TableNotFound,
    TableRoles,
)

ATTEMPT = AttemptId(JobId("01JABCDEFGHJKMNPQRSTVWXYZ0"), TaskName("train"), 2)
GUEST = Address(party_id("hospital-a"), Role.GUEST)
HOST = Address(party_id("hospital-a"), Role.HOST)
MODEL = Model("linear", 1, {"w": np.arange(3.0), "b": np.array(0.5)}, {"features": ["x0"]})


def elsewhere() -> Place:
    return Place(fs.FileSystem.from_uri("mock:///store")[0], "store")


@pytest.fixture(params=["local", "elsewhere"])
def store(request, tmp_path) -> Store:
    return Store(Place.of(tmp_path / "store") if request.param == "local" else elsewhere(), key=bytes(32))


def write(store, ref="ns/name", rows=10):
    table = pa.table({"id": [f"r{i}" for i in range(rows)], "x": np.arange(float(rows)), "y": np.arange(rows) % 2})
    with store.tables.writer(ref, table.schema, TableRoles(id="id", label="y")) as writer:
        writer.write(table.slice(0, 3))
        writer.write(table.slice(3).to_batches()[0])
        return writer.close()


def test_a_table_is_written_opened_listed_and_deleted(store):
    first, second = write(store), write(store, rows=4)
    assert (first.version, second.version) == (1, 2)
    table = store.tables.open("ns/name@1")
    table.verify()
    assert table.rows == len(table) == 10
    assert table.features == ["x"]
    assert table.column("x").tolist() == list(map(float, range(10)))
    assert table.labels().tolist() == [i % 2 for i in range(10)]
    assert table.ids()[9].as_py() == "r9"
    assert store.tables.open("ns/name").rows == 4
    assert [m.reference for m in store.tables.list()] == ["ns/name@1", "ns/name@2"]
    assert [str(r) for r in store.tables.delete("ns/name@2")] == ["ns/name@2"]
    assert store.tables.open("ns/name").rows == 10


def test_the_number_of_a_deleted_version_is_not_given_again(store):
    write(store)
    write(store)
    store.tables.delete("ns/name")
    with pytest.raises(TableNotFound, match="There are none yet"):
        store.tables.open("ns/name")
    assert write(store).version == 3


def test_a_table_abandoned_by_an_error_leaves_nothing(store):
    def interrupted():
        with store.tables.writer("ns/name", pa.schema([("x", pa.float64())])) as writer:
            writer.write(pa.table({"x": [1.0]}))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert store.tables.list() == []
    assert store.tables._place.folders("tables/ns/name/data") == []


def test_create_once_lets_one_writer_win(store):
    place = store.tables._place
    assert place.create_once("a/b", b"first")
    assert not place.create_once("a/b", b"second")
    assert place.read("a/b") == b"first"
    assert place.files("a") == ["b"]


def test_a_model_is_saved_loaded_replaced_listed_and_deleted(store):
    digest = store.models.save("job1/train.model", MODEL)
    found = store.models.load("job:job1/train.model")
    assert (found.kind, found.schema, found.details) == ("linear", 1, {"features": ["x0"]})
    np.testing.assert_array_equal(found.arrays["w"], MODEL.arrays["w"])
    assert found.arrays["b"].shape == ()
    assert found.digest() == digest == MODEL.digest() == store.models.info("job1/train.model").digest
    store.models.save("job1/train.model", Model("linear", 1, {}, {}))
    assert store.models.load("job1/train.model").arrays == {}
    assert [(i.reference, i.kind) for i in store.models.list()] == [("job1/train.model", "linear")]
    with pytest.raises(ModelNotFound, match=r"Did you mean 'job1/train\.model'"):
        store.models.load("job1/train.modle")
    store.models.delete("job1/train.model")
    assert store.models.list() == []


def test_a_damaged_model_is_noticed(store):
    store.models.save("job1/train.model", MODEL)
    path = "models/job1/train.model/own/model.safetensors"
    place = store.tables._place
    data = bytearray(place.read(path))
    data[-1] ^= 1
    place.write(path, bytes(data))
    with pytest.raises(Damaged, match="digest"):
        store.models.load("job1/train.model")
    place.write(path, b"nonsense")
    with pytest.raises(Damaged, match="cannot be read"):
        store.models.load("job1/train.model")


KINDS = {"model": OutputKind.MODEL, "roc": OutputKind.REPORT, "scores": OutputKind.TABLE}
DECLARED = {str(GUEST): KINDS, str(HOST): KINDS}


def stage(store, address=GUEST, rows=5):
    outputs = store.staging.outputs(ATTEMPT, address)
    table = pa.table({"id": list(range(rows)), "score": np.linspace(0, 1, rows)})
    with outputs.table_writer("scores", table.schema, TableRoles(id="id")) as writer:
        writer.write(table)
    outputs.save_model("model", MODEL)
    outputs.save_report("roc", "roc", 1, {"points": [[0, 0], [1, 1]]})
    return outputs


def test_staged_results_are_invisible_until_they_are_published_and_publishing_is_idempotent(store):
    stage(store)
    assert store.tables.list() == []
    assert store.models.list() == []
    with pytest.raises(ReportNotFound):
        store.report(f"{ATTEMPT.job}/train.roc")
    published = store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    assert [(p.address, p.output, p.kind, p.reference) for p in published] == [
        ("guest:hospital-a", "model", "model", f"{ATTEMPT.job}/train.model"),
        ("guest:hospital-a", "roc", "report", f"{ATTEMPT.job}/train.roc"),
        ("guest:hospital-a", "scores", "table", f"job-{ATTEMPT.job.lower()}/train-scores@1"),
    ]
    table = store.tables.open(published[2].reference)
    table.verify()
    assert table.column("score").tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert store.models.load(published[0].reference).digest() == MODEL.digest()
    report = store.report(published[1].reference)
    assert (report.kind, report.schema_, report.body) == ("roc", 1, {"points": [[0, 0], [1, 1]]})
    assert store.staging.publish(ATTEMPT.job, "train", 2, DECLARED) == published
    assert [m.version for m in store.tables.list()] == [1]
    assert not store.tables._place.exists(f"staging/{ATTEMPT.job}/train")


def test_two_roles_of_one_party_publish_both_their_parts(store):
    stage(store, HOST, rows=3)
    stage(store, GUEST, rows=5)
    published = store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    references = {(p.address, p.kind): p.reference for p in published}
    assert store.tables.open(references["guest:hospital-a", "table"]).rows == 5
    assert store.tables.open(references["host:hospital-a", "table"]).rows == 3
    assert store.models.info(f"{ATTEMPT.job}/train.model", "host").role == "host"
    with pytest.raises(ModelNotFound, match="Its roles are guest, host"):
        store.models.load(f"{ATTEMPT.job}/train.model", "arbiter")


@pytest.mark.parametrize("stop_after", range(9))
def test_publishing_goes_on_where_it_was_interrupted(store, monkeypatch, stop_after):
    for address in (GUEST, HOST):
        stage(store, address)
    place, calls = store.staging._place, []

    def counted(real):
        def call(*args):
            calls.append(real)
            if len(calls) > stop_after:
                raise InterruptedError
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("move", "create_once"):
            patch.setattr(place, name, counted(getattr(place, name)))
        with pytest.raises(InterruptedError) if stop_after < 8 else nullcontext():
            store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    published = store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    table = f"job-{ATTEMPT.job.lower()}/train-scores"
    assert [p.reference for p in published if p.kind == "table"] == [f"{table}@1", f"{table}@2"]
    for version in (1, 2):
        store.tables.open(f"{table}@{version}").verify()
    assert [i.role for i in store.models.list()] == ["guest", "host"]
    assert store.report(f"{ATTEMPT.job}/train.roc", "host").kind == "roc"


def test_another_attempt_cannot_publish_over_the_first(store):
    stage(store)
    store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    with pytest.raises(AlreadyPublished, match="attempt 2"):
        store.staging.publish(ATTEMPT.job, "train", 3, DECLARED)


def test_an_output_written_again_replaces_what_was_staged(store):
    stage(store, rows=5)
    stage(store, rows=7)
    published = store.staging.publish(ATTEMPT.job, "train", 2, DECLARED)
    assert store.tables.open(published[2].reference).rows == 7


def test_discarded_results_are_gone(store):
    stage(store)
    store.staging.discard(ATTEMPT.job, "train", 2)
    assert store.staging.publish(ATTEMPT.job, "train", 2, DECLARED) == []
    store.staging.discard(ATTEMPT.job)
    assert not store.tables._place.exists(f"staging/{ATTEMPT.job}")


def test_users_cannot_write_into_the_names_of_jobs(store):
    with pytest.raises(BadReference, match="outputs of jobs"):
        write(store, "job-01jabc/train-scores")
    with pytest.raises(BadReference, match="versions are given"):
        write(store, "ns/name@1")


def test_checkpoints_are_kept_two_at_a_time(store):
    checkpoints = store.checkpoints()
    assert checkpoints.latest(ATTEMPT, GUEST) is None
    for step in range(1, 5):
        checkpoints.save(ATTEMPT, GUEST, step, {"w": np.full(3, float(step)), "rng": b"s", "none": None})
    assert checkpoints.steps(ATTEMPT, GUEST) == [3, 4]
    latest = checkpoints.latest(ATTEMPT, GUEST)
    assert latest.step == 4
    assert latest.parts["w"].tolist() == [4, 4, 4]
    assert (latest.parts["rng"], latest.parts["none"]) == (b"s", None)
    assert checkpoints.latest(ATTEMPT, HOST) is None
    checkpoints.delete(ATTEMPT.job, "train")
    assert checkpoints.steps(ATTEMPT, GUEST) == []
