"""A disk without room: every write says so by name, and leaves nothing half-done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from party.ids import Address, AttemptId, JobId, Role, TaskName, party_id
from storage.client import Journal, Model, Place, SourceOptions, Store, StoreFull, StoreUnavailable, TableRoles
from tests.fakes import disks

ATTEMPT = AttemptId(JobId("01JABCDEFGHJKMNPQRSTVWXYZ0"), TaskName("train"), 1)
GUEST = Address(party_id("hospital-a"), Role.GUEST)
BIG = np.random.default_rng(0).random(300_000)  # 2.4 MB


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of one MiB."""
    with disks.small_disk(tmp_path / "small") as folder:
        yield folder


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_upload_for_which_there_is_no_room_names_disk_table_and_sizes(small_disk, tmp_path):
    source = tmp_path / "data.csv"
    source.write_text("id,x\n" + "".join(f"{i},{i}.25\n" for i in range(100_000)))
    store = Store(small_disk)
    with pytest.raises(StoreFull) as caught:
        store.tables.upload(source, "t/two", options=SourceOptions(roles=TableRoles(id="id")))
    assert caught.value.message.startswith(f"No room left on {small_disk} for table t/two: 1.5 MB needed, 996 kB left")
    assert isinstance(caught.value, StoreUnavailable)
    assert files(small_disk) == []
    small = tmp_path / "small.csv"
    small.write_text("id,x\n1,2\n")
    assert store.tables.upload(small, "t/two").rows == 1


@pytest.mark.parametrize("what", ["model", "checkpoint", "staged model", "staged report", "file"])
def test_a_write_for_which_there_is_no_room_says_so_and_leaves_nothing(small_disk, what):
    store = Store(small_disk, key=bytes(32))
    model = Model("linear", 1, {"w": BIG}, {})
    writes = {
        "model": lambda: store.models.save("job/train.model", model),
        "checkpoint": lambda: store.checkpoints().save(ATTEMPT, GUEST, 1, {"w": BIG}),
        "staged model": lambda: store.staging.outputs(ATTEMPT, GUEST).save_model("model", model),
        "staged report": lambda: store.staging.outputs(ATTEMPT, GUEST).save_report("r", "k", 1, {"t": "x" * 2**21}),
        "file": lambda: Place.of(small_disk).write("a/b", BIG.tobytes()),
    }
    with pytest.raises(StoreFull, match=f"No room left on {small_disk} for "):
        writes[what]()
    assert files(small_disk) == []


def test_a_journal_without_room_says_so_and_goes_on_when_there_is(small_disk):
    journal = Journal(small_disk / "journal", bytes(32))
    journal.once("a", lambda: b"1")
    whole = (small_disk / "journal").read_bytes()
    with pytest.raises(StoreFull):
        journal.once("b", lambda: BIG.tobytes())
    assert (small_disk / "journal").read_bytes() == whole
    assert journal.once("b", lambda: b"2") == b"2"
    assert Journal(small_disk / "journal", bytes(32)).names() == ["a", "b"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_spent_quota_are_one_error(tmp_path, monkeypatch, number):
    def full(handle):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match=r"No room left on / for a: 1 bytes needed, .* left|No room left on /\S+ for a"):
        Place.of(tmp_path).write("a", b"1")
    assert files(tmp_path) == []


def test_a_place_says_how_much_room_it_has(small_disk, tmp_path):
    left = 2**20 - 2**20 // 20  # a twentieth stays free
    assert Place.of(small_disk).room_left() == left
    assert Place.of(small_disk / "not" / "there" / "yet").room_left() == left
    assert Place.of("mock:///store").room_left() is None
