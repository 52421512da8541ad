"""Checkpoints: what was torn, changed, swapped or sealed by another key is noticed; the one before it is used."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from party.ids import Address, AttemptId, JobId, Role, TaskName, party_id
from storage.client import CheckpointStore, Damaged, Journal, SchemaVersionUnknown, Store, UnsupportedValue

KEY = bytes(range(32))
ATTEMPT = AttemptId(JobId("01JOB"), TaskName("train"), 1)
GUEST = Address(party_id("a"), Role.GUEST)


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointStore(tmp_path, KEY)


def path(tmp_path, step, attempt=1):
    return tmp_path / f"checkpoints/01JOB/train/{attempt}/guest-a/{step:012d}.ckpt"


def test_parts_of_every_kind_come_back(checkpoints):
    parts = {
        "w": np.arange(5.0),
        "record": {"step": 3, "m": np.ones(2, np.float32)},
        "table": pa.table({"a": [1]}),
        "text": "ü",
        "empty": b"",
    }
    checkpoints.save(ATTEMPT, GUEST, 1, parts)
    found = checkpoints.latest(ATTEMPT, GUEST).parts
    assert list(found) == list(parts)
    np.testing.assert_array_equal(found["w"], parts["w"])
    np.testing.assert_array_equal(found["record"]["m"], [1, 1])
    assert found["table"].equals(parts["table"])
    assert (found["text"], found["empty"]) == ("ü", b"")


def test_a_part_larger_than_a_piece_is_put_together_again(checkpoints, monkeypatch):
    monkeypatch.setattr("storage.checkpoints.store.PIECE_BYTES", 1000)
    array = np.random.default_rng(0).random(5000)
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": array, "v": array})
    np.testing.assert_array_equal(checkpoints.latest(ATTEMPT, GUEST).parts["v"], array)


def test_every_torn_write_is_detected_and_the_checkpoint_before_it_is_used(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": np.zeros(3)})
    checkpoints.save(ATTEMPT, GUEST, 2, {"w": np.ones(3)})
    data = path(tmp_path, 2).read_bytes()
    for end in [*range(0, len(data), 7), len(data) - 1]:
        path(tmp_path, 2).write_bytes(data[:end])
        assert checkpoints.latest(ATTEMPT, GUEST).step == 1
    path(tmp_path, 2).write_bytes(data + b"\0")
    assert checkpoints.latest(ATTEMPT, GUEST).step == 1
    path(tmp_path, 2).write_bytes(data)
    assert checkpoints.latest(ATTEMPT, GUEST).step == 2


def test_every_changed_byte_is_detected(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": np.ones(3)})
    data = path(tmp_path, 1).read_bytes()
    for i in [*range(40), *range(40, len(data), 11)]:
        changed = bytearray(data)
        changed[i] ^= 1
        path(tmp_path, 1).write_bytes(changed)
        with pytest.raises((Damaged, SchemaVersionUnknown)):
            checkpoints.latest(ATTEMPT, GUEST)


def test_a_checkpoint_of_another_step_or_attempt_does_not_open(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": 1})
    for step, attempt in ((2, 1), (1, 2)):
        target = path(tmp_path, step, attempt)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path(tmp_path, 1).read_bytes())
        with pytest.raises(Damaged, match="changed"):
            checkpoints.load(AttemptId(ATTEMPT.job, ATTEMPT.task, attempt), GUEST, step)


def test_another_key_opens_nothing_and_says_so(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": 1})
    with pytest.raises(Damaged, match="another key"):
        CheckpointStore(tmp_path, bytes(32)).latest(ATTEMPT, GUEST)
    with pytest.raises(Damaged, match="not there"):
        checkpoints.load(ATTEMPT, GUEST, 9)


def test_a_part_that_cannot_be_stored_leaves_the_older_checkpoint(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": 1})
    with pytest.raises(UnsupportedValue):
        checkpoints.save(ATTEMPT, GUEST, 2, {"w": 1, "model": object()})
    assert checkpoints.latest(ATTEMPT, GUEST).step == 1
    assert [p.name for p in path(tmp_path, 1).parent.iterdir()] == ["000000000001.ckpt"]


def test_a_checkpoint_is_synced_before_it_takes_its_name(checkpoints):
    calls = []
    with (
        patch("storage.place.os.fsync", lambda fd: calls.append("sync")),
        patch("storage.place.sync_folder", lambda folder: calls.append("sync folder")),
        patch("pathlib.Path.rename", lambda self, target: calls.append("rename")),
    ):
        checkpoints.save(ATTEMPT, GUEST, 1, {"w": 1})
    assert calls == ["sync", "rename", "sync folder"]


def test_nothing_in_the_file_is_readable(tmp_path):
    Store(tmp_path, KEY).checkpoints().save(ATTEMPT, GUEST, 1, {"secret-name": "secret-value"})
    data = path(tmp_path, 1).read_bytes()
    assert b"secret" not in data
    assert path(tmp_path, 1).stat().st_mode & 0o077 == 0


def test_what_is_held_is_told_by_attempt_without_a_key(checkpoints, tmp_path):
    second = AttemptId(ATTEMPT.job, ATTEMPT.task, 2)
    for attempt, step in ((ATTEMPT, 8), (ATTEMPT, 9), (second, 1)):
        checkpoints.save(attempt, GUEST, step, {"w": 1})
    Journal(tmp_path / "checkpoints/01JOB/train/guest-a.journal", KEY).once("x", lambda: b"y")
    blind = CheckpointStore(tmp_path, b"")
    assert blind.jobs() == ["01JOB"]
    assert blind.held("01JOB", "train", GUEST) == {1: [8, 9], 2: [1]}
    assert blind.held("01JOB", "train", Address(party_id("b"), Role.GUEST)) == {}
    assert blind.held("02JOB", "train", GUEST) == {}


def test_journals_are_deleted_and_checkpoints_stay(checkpoints, tmp_path):
    checkpoints.save(ATTEMPT, GUEST, 1, {"w": 1})
    journal = tmp_path / "checkpoints/01JOB/train/guest-a.journal"
    Journal(journal, KEY).once("x", lambda: b"y")
    checkpoints.delete_journals("01JOB")
    checkpoints.delete_journals("02JOB")
    assert not journal.exists()
    assert checkpoints.latest(ATTEMPT, GUEST).step == 1
    checkpoints.delete("01JOB")
    assert checkpoints.jobs() == []


def test_a_checkpoint_that_cannot_be_read_is_set_aside_and_told_no_more(checkpoints, tmp_path):
    for step in (1, 2, 3):
        checkpoints.save(ATTEMPT, GUEST, step, {"w": np.zeros(3)})
    path(tmp_path, 3).write_bytes(b"torn")
    assert checkpoints.latest(ATTEMPT, GUEST).step == 2
    assert checkpoints.held("01JOB", "train", GUEST) == {1: [2]}
    path(tmp_path, 2).write_bytes(b"")
    with pytest.raises(Damaged):
        checkpoints.latest(ATTEMPT, GUEST)
    assert checkpoints.held("01JOB", "train", GUEST) == {}
    assert checkpoints.latest(ATTEMPT, GUEST) is None
    checkpoints.save(ATTEMPT, GUEST, 2, {"w": np.ones(3)})
    assert checkpoints.latest(ATTEMPT, GUEST).step == 2
    checkpoints.delete("01JOB")
    assert list(tmp_path.rglob("*.damaged")) == []
