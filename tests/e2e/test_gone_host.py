"""A host of a party stops in the middle of a training: its executors go on elsewhere, and what wakes there ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.demo_data import write_breast
from launcher.federation import LocalParty
from tests.e2e.federation.conftest import set_setting
from tests.fakes.nodes import eventually

pytestmark = pytest.mark.soak

ROLES = {"guest": ["solo"], "arbiter": ["solo"]}
PARAMETERS = {"rounds": 150, "protection": {"kind": "plain"}}
TASK = {"component": "homo_lr@1", "inputs": {"train": "breast/train"}, "parameters": PARAMETERS}
JOB = {"schema": 1, "name": "moved", "initiator": "solo", "roles": ROLES, "settings": {"seed": 11, "retries": 0}}
EXECUTORS = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="apl-host-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def party(folder: Path) -> Iterator[LocalParty]:
    """One party with two hosts, of which the second has more room."""
    solo, second = LocalParty("solo", folder), LocalParty("second", folder)
    solo.flow("party", "init", "solo", "--accept", "agree")
    solo.flow("party", "policy", "set", "min_protection=plain", "min_trainers=1")
    shutil.copytree(solo.home, second.home, ignore=shutil.ignore_patterns("state", "store", "run", "logs"))
    sockets = [solo.settings_home().socket("node"), second.settings_home().socket("node")]
    set_setting(solo, "nodes", json.dumps([f"unix:{socket}" for socket in sockets]))
    set_setting(solo, "node_silent_s", "10")
    set_setting(second, "uri", json.dumps(str(solo.home / "store")))
    for each, cores in ((solo, EXECUTORS), (second, 2 * EXECUTORS)):
        set_setting(each, "cores", str(cores))
        set_setting(each, "name", json.dumps(each.name))
        set_setting(each, "executor_user", "64555")
    try:
        solo.flow("party", "up", "--detach")
        upload, *_ = write_breast(folder, ["solo"])[0]
        solo.flow("data", "upload", upload.file, "--table", upload.table, "--id", "id", "--label", "y")
        yield solo
    finally:
        solo.run("party", "down")


@pytest.fixture
def second(folder: Path, party: LocalParty) -> Iterator[subprocess.Popen[bytes]]:
    """The Node Manager of the second host, which is up."""
    with subprocess.Popen([sys.executable, "-m", "node_manager", "--home", str(folder / "second")]) as running:
        eventually(lambda: states(party) == {"solo": "up", "second": "up"})
        yield running
        running.send_signal(signal.SIGCONT)
        running.terminate()


def states(party: LocalParty) -> dict[str, str]:
    return {node["node"]: node["state"] for node in party.flow_json("party", "status")["nodes"]}


def models(party: LocalParty, job: str) -> set[str]:
    return {item["digest"] for item in party.flow_json("job", "outputs", job) if item["kind"] == "model"}


def test_a_host_that_stops_loses_its_executors_to_another_in_the_same_attempt(
    folder: Path, party: LocalParty, second: subprocess.Popen[bytes]
) -> None:
    (folder / "job.json").write_text(json.dumps({**JOB, "tasks": {"train": TASK}}))
    undisturbed = party.flow_json("job", "submit", folder / "job.json")["job"]
    party.flow("job", "watch", undisturbed)
    job = party.flow_json("job", "submit", folder / "job.json")["job"]
    eventually(lambda: len(list((party.home / "store" / "checkpoints" / job).rglob("*.ckpt"))) >= 2 * EXECUTORS)
    running = [
        json.loads(file.read_text())["pid"]
        for file in (folder / "second" / "state" / "node" / "executors" / job).glob("train-1-*/process.json")
    ]
    assert len(running) == EXECUTORS
    for pid in (second.pid, *running):
        os.kill(pid, signal.SIGSTOP)
    elsewhere = party.home / "state" / "node" / "executors" / job
    eventually(lambda: len(list(elsewhere.glob("train-1-*-i2/process.json"))) == EXECUTORS)
    assert states(party) == {"solo": "up", "second": "gone"}
    for pid in (*running, second.pid):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running))
    party.flow("job", "watch", job)
    view = party.flow_json("job", "show", job)
    assert [[attempt["attempt"] for attempt in task["attempts"]] for task in view["tasks"]] == [[1]]
    assert models(party, job) == models(party, undisturbed)
    assert states(party) == {"solo": "up", "second": "up"}
    assert not list((folder / "second" / "state" / "node" / "executors").iterdir())
