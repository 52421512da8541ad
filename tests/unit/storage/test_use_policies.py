from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydantic
import pytest

from storage.client import Damaged, Model, ModelNotFound, SourceOptions, Store, TableNotFound, TableRoles, UsePolicy

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
MODEL = f"{JOB}/train.model"
BY_ID = SourceOptions(roles=TableRoles(id="id"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    made.tables.upload(tmp_path / "t.csv", "breast/train", options=BY_ID)
    made.models.save(MODEL, Model("linear", 1, {"w": np.zeros(2)}), "guest")
    return made


def test_the_policy_of_a_table_holds_for_every_version_of_it(store: Store, tmp_path: Path) -> None:
    assert store.use.of_table("breast/train") == UsePolicy()
    policy = UsePolicy(peers=("b",), min_rows=50, expires=datetime(2030, 1, 1, tzinfo=UTC))
    assert store.use.set_table("breast/train", policy) == policy
    store.tables.upload(tmp_path / "t.csv", "breast/train", options=BY_ID)
    assert store.use.of_table("breast/train@1") == store.use.of_table("breast/train@2") == policy
    assert [manifest.reference for manifest in store.tables.list()] == ["breast/train@1", "breast/train@2"]
    assert store.use.set_table("breast/train", None) == UsePolicy()


def test_the_policy_of_a_deleted_table_holds_on_and_may_be_changed(store: Store, tmp_path: Path) -> None:
    """What was made of it is held to it."""
    policy = store.use.set_table("breast/train", UsePolicy(peers=("b",)))
    store.tables.delete("breast/train")
    assert store.use.of_table("breast/train@1") == policy
    policy = store.use.set_table("breast/train", UsePolicy(peers=("c",)))
    assert store.use.of_table("breast/train") == policy
    with pytest.raises(TableNotFound):
        store.use.of_table("breast/train@2")
    with pytest.raises(TableNotFound):
        store.use.set_table("breast/other", policy)
    store.tables.upload(tmp_path / "t.csv", "breast/train", options=BY_ID)
    assert store.use.of_table("breast/train") == policy


def test_a_model_is_granted_to_nobody_until_it_is_said(store: Store) -> None:
    assert store.use.of_model(MODEL).peers == ()
    policy = store.use.set_model(MODEL, UsePolicy(peers=("c",)))
    assert store.use.of_model(MODEL) == policy
    assert [info.reference for info in store.models.list()] == [MODEL]
    assert store.use.set_model(MODEL, None).peers == ()
    with pytest.raises(ModelNotFound):
        store.use.set_model(f"{JOB}/train.other", policy)


def test_the_policy_of_a_deleted_model_holds_on_if_one_was_set(store: Store) -> None:
    policy = store.use.set_model(MODEL, UsePolicy(components=("score",)))
    store.models.delete(MODEL)
    assert store.models.list() == []
    assert store.use.of_model(MODEL) == policy
    with pytest.raises(ModelNotFound):
        store.models.info(MODEL)


def test_what_a_table_was_is_known_after_its_versions_are_deleted(store: Store, tmp_path: Path) -> None:
    store.tables.upload(tmp_path / "t.csv", "breast/train", options=BY_ID, owner="ann")
    store.tables.delete("breast/train@1")
    assert [manifest.version for manifest in store.tables.history("breast/train")] == [1, 2]
    assert store.tables.last("breast/train@1").owner == ""
    store.tables.delete("breast/train")
    assert store.tables.last("breast/train").owner == "ann"
    with pytest.raises(TableNotFound):
        store.tables.last("breast/train@3")
    assert store.tables.history("breast/other") == []


def test_a_policy_that_cannot_be_read_is_named_and_permits_nothing(store: Store, tmp_path: Path) -> None:
    store.use.set_table("breast/train", UsePolicy(peers=("b",)))
    (tmp_path / "store" / "tables" / "breast" / "train" / "use.json").write_text("{")
    with pytest.raises(Damaged, match=r"use\.json is not a use policy"):
        store.use.of_table("breast/train")


def test_a_time_without_a_zone_is_no_end_of_a_permission() -> None:
    with pytest.raises(pydantic.ValidationError, match="timezone"):
        UsePolicy.model_validate({"expires": "2030-01-01T00:00:00"})
