"""An executor that is started again and finds that its party's store lost what it had saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node_manager.errors import StateLost
from node_manager.executor.context_adapters import SideCheckpoints, TaskMemory
from node_manager.order import ResumePoint
from party.ids import Address, AttemptId, JobId, Role, TaskName, party_id
from storage.client import Journal, Store

JOB = "01JABCDEFGHJKMNPQRSTVWXYZ0"
GUEST = Address(party_id("hospital-a"), Role.GUEST)
KEY = bytes(32)


class Silent:
    def write(self, *_: object, **__: object) -> None:
        pass


def memory(folder: Path, attempt: int = 1, resume: ResumePoint | None = None) -> TaskMemory:
    """That of an executor which begins now."""
    said: Any = Silent()
    side = (AttemptId(JobId(JOB), TaskName("train"), attempt), GUEST)
    checkpoints = SideCheckpoints(Store(folder, KEY), side, resume, KEY)
    return TaskMemory(checkpoints, Journal(journal(folder), KEY), attempt, said, released=lambda: None)


def journal(folder: Path) -> Path:
    return task(folder) / "guest-hospital-a.journal"


def task(folder: Path) -> Path:
    return folder / "checkpoints" / JOB / "train"


def saved(folder: Path, steps: int = 3) -> TaskMemory:
    """After so many steps."""
    own = memory(folder)
    own.once("key", lambda: b"drawn")
    for step in range(1, steps + 1):
        own.checkpoint(step, {"w": np.full(3, float(step))})
    return own


def steps(folder: Path) -> list[int]:
    return sorted(int(file.stem) for file in task(folder).rglob("*.ckpt"))


def step_of(own: TaskMemory) -> int:
    found = own.latest()
    return 0 if found is None else found[0]


def test_it_goes_on_from_the_checkpoint_before_one_that_cannot_be_read(tmp_path: Path) -> None:
    saved(tmp_path)
    next(task(tmp_path).rglob("*3.ckpt")).write_bytes(b"torn")
    assert step_of(memory(tmp_path)) == 2
    assert steps(tmp_path) == [2]


def test_its_attempt_is_over_where_no_checkpoint_can_be_read(tmp_path: Path) -> None:
    saved(tmp_path)
    for file in task(tmp_path).rglob("*.ckpt"):
        file.write_bytes(b"torn")
    with pytest.raises(StateLost, match="begin as a checkpoint"):
        memory(tmp_path).latest()
    assert steps(tmp_path) == []


@pytest.mark.parametrize("damaged", [True, False])
def test_its_attempt_is_over_without_a_journal_and_the_next_begins_a_new_one(tmp_path: Path, damaged: bool) -> None:
    saved(tmp_path)
    file = journal(tmp_path)
    if damaged:
        data = bytearray(file.read_bytes())
        data[60] ^= 1
        file.write_bytes(data + data[-40:])
        with pytest.raises(StateLost, match="cannot be read"):
            memory(tmp_path).once("key", lambda: b"other")
    else:
        file.unlink()
        with pytest.raises(StateLost, match="is gone"):
            memory(tmp_path)
    after = memory(tmp_path, 2, ResumePoint(job=JOB, attempt=1, step=3))
    assert step_of(after) == 3
    assert after.once("key", lambda: b"other") == b"other"


def test_a_point_to_go_on_from_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    saved(tmp_path)
    next(task(tmp_path).rglob("*3.ckpt")).write_bytes(b"torn")
    with pytest.raises(StateLost):
        memory(tmp_path, 2, ResumePoint(job=JOB, attempt=1, step=3)).latest()
    assert steps(tmp_path) == [2]
    assert step_of(memory(tmp_path, 3, ResumePoint(job=JOB, attempt=1, step=2))) == 2


def test_one_that_runs_writes_its_journal_again_with_its_next_checkpoint(tmp_path: Path) -> None:
    own = saved(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    own.checkpoint(4, {"w": np.zeros(3)})
    again = memory(tmp_path)
    assert step_of(again) == 4
    assert again.once("key", lambda: b"other") == b"drawn"
