"""What an executor writes to its party's store waits where that has no room, and says so."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node_manager.executor.context_adapters import AnnouncedOutputs, SideCheckpoints, TaskMemory
from party.ids import Address, AttemptId, JobId, Role, TaskName, party_id
from storage.client import Journal, Model, Store, TableRoles
from tests.fakes.disks import fill, small_disk

ATTEMPT = AttemptId(JobId("01JABCDEFGHJKMNPQRSTVWXYZ0"), TaskName("train"), 1)
GUEST = Address(party_id("hospital-a"), Role.GUEST)
BIG = np.random.default_rng(0).random(20_000)  # 160 kB


class Said:
    def __init__(self) -> None:
        self.insisted: list[str] = []
        self.events: list[str] = []

    def log(self, _level: str, text: str, *, insist: bool = False) -> None:
        if insist:  # or it would itself wait for room
            self.insisted.append(text)

    def write(self, kind: object, /, **_: object) -> None:
        self.events.append(str(kind))


def parts(folder: Path, said: Any) -> SimpleNamespace:
    store = Store(folder, bytes(32))
    checkpoints = SideCheckpoints(store, (ATTEMPT, GUEST), None, b"")
    memory = TaskMemory(checkpoints, Journal(folder / "journal", bytes(32)), 1, said, released=lambda: None)
    return SimpleNamespace(
        memory=memory, outputs=AnnouncedOutputs(store.staging.outputs(ATTEMPT, GUEST), ATTEMPT, said)
    )


@pytest.mark.parametrize("what", ["checkpoint", "journal", "table", "model", "report"])
def test_it_waits_and_goes_on(tmp_path: Path, what: str) -> None:
    drawn = []
    writes = {
        "checkpoint": lambda own: own.memory.checkpoint(1, {"w": BIG}),
        "journal": lambda own: own.memory.once("key", lambda: drawn.append(1) or BIG.tobytes()),
        "table": lambda own: own.outputs.save_table("t", pa.table({"x": BIG}), TableRoles()),
        "model": lambda own: own.outputs.save_model("m", Model("linear", 1, {"w": BIG}, {})),
        "report": lambda own: own.outputs.save_report("r", "k", 1, {"t": "x" * 160_000}),
    }
    with small_disk(tmp_path / "small") as folder:
        said = Said()
        own = parts(folder, said)
        filler = fill(folder)
        writing = threading.Thread(target=writes[what], args=(own,))
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        assert len(said.insisted) == 1
        assert said.insisted[0].startswith("No room left on ")
        assert said.insisted[0].endswith("This executor waits for it.")
        filler.unlink()
        writing.join(10)
        assert not writing.is_alive()
        if what == "checkpoint":
            assert own.memory.latest()[0] == 1
        if what == "journal":
            assert len(drawn) == 1
        else:
            assert said.events
