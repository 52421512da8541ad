from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flow.protocol.policy import Source
from flow.rooms.party_store import PartyStore
from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import (
    NO_ROLES,
    Journal,
    Model,
    ModelNotFound,
    SourceOptions,
    Store,
    TableNotFound,
    TableRoles,
    UsePolicy,
)

NAME = AttemptId(JobId("01M84NKVCS9025W7T6P1XBY3P8"), TaskName("train"), 1)
DECLARED = {"guest:a": {"model": "model", "scores": "table", "roc": "report", "loss": "metrics"}}


def test_agreement_sees_the_newest_version_and_its_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    csv = tmp_path / "data.csv"
    csv.write_text("id,x,y\n1,0.5,1\n2,0.7,0\n")
    store.tables.upload(csv, "breast/train", options=SourceOptions(roles=TableRoles(id="id", label="y")))
    ours = PartyStore(store)
    facts = ours.table("breast/train")
    assert (facts.reference, facts.rows, facts.use.peers) == ("breast/train@1", 2, ("*",))
    assert facts.roles == TableRoles(id="id", label="y")
    with pytest.raises(TableNotFound) as caught:
        ours.table("breast/tarin")
    assert "breast/train" in str(caught.value)
    with pytest.raises(ModelNotFound):
        ours.model(f"{NAME.job}/train.model")


def test_the_rules_of_a_table_or_model_outlive_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "data.csv").write_text("id,x\n1,0.5\n")
    store.tables.upload(
        tmp_path / "data.csv", "breast/train", options=SourceOptions(roles=TableRoles(id="id")), owner="ann"
    )
    store.use.set_table("breast/train", UsePolicy(peers=("b",), components=("train",), min_rows=5))
    model = f"{NAME.job}/train.model"
    store.models.save(model, Model("linear", 1, {"w": np.zeros(2)}), "guest")
    ours = PartyStore(store)
    open_to_all = ours.source(model, is_table=False)
    assert open_to_all == Source(model), "whom a model is granted to is about that model alone"
    expected = Source("breast/train@1", owner="ann", use=UsePolicy(components=("train",), peers=("b",), min_rows=5))
    assert ours.source("breast/train", is_table=True) == expected
    store.tables.delete("breast/train")
    store.models.delete(model)
    assert ours.source("breast/train@1", is_table=True) == expected
    assert ours.source(model, is_table=False) == open_to_all
    with pytest.raises(TableNotFound):
        ours.source("breast/train@2", is_table=True)


def test_what_was_staged_is_published_once_or_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ours = PartyStore(store)
    assert ours.publish(AttemptId(NAME.job, TaskName("empty"), 1), DECLARED) == []
    store.staging.outputs(NAME, Address.parse("guest:a")).save_report("roc", "roc", 1, {"auc": 1})
    first = ours.publish(NAME, DECLARED)
    assert [(o.address, o.name, o.kind, o.reference) for o in first] == [
        ("guest:a", "roc", "report", f"{NAME.job}/train.roc")
    ]
    assert ours.publish(NAME, DECLARED) == first
    other = AttemptId(NAME.job, TaskName("other"), 1)
    store.staging.outputs(other, Address.parse("guest:a")).save_report("roc", "roc", 1, {"auc": 1})
    ours.discard(other)
    assert ours.publish(other, DECLARED) == []
    ours.forget(NAME.job)
    assert store.report(f"{NAME.job}/train.roc").body == {"auc": 1}


def test_every_output_is_published_with_the_digest_of_its_content(tmp_path: Path) -> None:
    store, guest = Store(tmp_path / "store"), Address.parse("guest:a")
    staged = store.staging.outputs(NAME, guest)
    model = Model("linear", 1, {"w": np.arange(3.0)})
    staged.save_model("model", model)
    staged.save_report("roc", "roc", 1, {"auc": 1})
    with staged.table_writer("scores", pa.schema([("score", pa.float64())]), NO_ROLES) as writer:
        writer.write(pa.record_batch({"score": [0.5, 1.0]}))
    outputs = {output.name: output for output in PartyStore(store).publish(NAME, DECLARED)}
    assert outputs["model"].digest == model.digest()
    assert outputs["scores"].digest == store.tables.manifest(outputs["scores"].reference).digest
    assert len(outputs["roc"].digest) == 64
    assert {o.name: o for o in PartyStore(store).publish(NAME, DECLARED)} == outputs


def test_of_a_job_that_did_not_succeed_only_the_checkpoints_stay(tmp_path: Path) -> None:
    store, guest = Store(tmp_path / "store", bytes(32)), Address.parse("guest:a")
    ours = PartyStore(store)
    store.checkpoints().save(NAME, guest, 4, {"w": 1})
    store.staging.outputs(NAME, guest).save_report("roc", "roc", 1, {"auc": 1})
    Journal(tmp_path / f"store/checkpoints/{NAME.job}/train/guest-a.journal", bytes(32)).once("key", lambda: b"k")
    ours.keep_checkpoints(NAME.job)
    left = [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert left == ["000000000004.ckpt"]
    assert ours.checkpointed() == [NAME.job]
    assert ours.held(NAME.job, "train", guest) == {1: [4]}
    ours.forget(NAME.job)
    assert ours.checkpointed() == []
