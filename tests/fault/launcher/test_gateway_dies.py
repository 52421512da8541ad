"""Under `flow party up` the gateway is a process of its own: its death costs no job, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from launcher.federation import LocalFederation, LocalParty
from runtime import processes

ROUNDS = 200


@pytest.fixture(scope="module")
def federation() -> Iterator[LocalFederation]:
    folder = Path(tempfile.mkdtemp(prefix="apl-fault-"))
    made = LocalFederation(folder, ("north", "south"))
    try:
        made.create()
        for party in made.parties.values():
            settings = party.home / "party.toml"
            settings.write_text(settings.read_text().replace("preload = [", "preload = []  # ["))
        made.up()
        yield made
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)


def job(rounds: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "rounds",
        "initiator": "north",
        "roles": {"guest": ["north"], "arbiter": ["south"]},
        "tasks": {"turns": {"component": "noop@1", "parameters": {"rounds": rounds}}},
    }


def submit(federation: LocalFederation, rounds: int) -> str:
    file = federation.folder / "job.json"
    file.write_text(json.dumps(job(rounds)))
    return str(federation["north"].flow_json("job", "submit", file)["job"])


def until(check: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)
    return found


def gateway_of(party: LocalParty) -> psutil.Process | None:
    return processes.noted(party.settings_home().process_file("gateway"))


def executors_of(party: LocalParty) -> list[psutil.Process]:
    found = []
    for file in party.home.glob("state/node/executors/*/*/process.json"):
        known = json.loads(file.read_bytes())
        if psutil.pid_exists(known["pid"]) and psutil.Process(known["pid"]).status() != psutil.STATUS_ZOMBIE:
            found.append(psutil.Process(known["pid"]))
    return found


def test_a_gateway_that_is_killed_in_mid_round_costs_no_attempt(federation: LocalFederation) -> None:
    submitted = submit(federation, ROUNDS)
    for party in federation.parties.values():
        until(lambda party=party: executors_of(party))
        before = gateway_of(party)
        assert before is not None
        before.kill()
        until(lambda party=party, before=before: (now := gateway_of(party)) is not None and now.pid != before.pid)
    assert federation["north"].run("job", "watch", submitted).returncode == 0
    (gateway,) = [r for r in federation["north"].flow_json("party", "status")["rooms"] if r["room"] == "gateway"]
    assert "It was ended by SIGKILL at " in gateway["text"]
    shown = federation["north"].flow_json("job", "show", submitted)
    assert [attempt["attempt"] for task in shown["tasks"] for attempt in task["attempts"]] == [1]


def test_down_ends_what_a_launcher_that_was_killed_has_left(federation: LocalFederation) -> None:
    party = federation["south"]
    submit(federation, rounds=100_000)
    left = until(lambda: executors_of(party))
    launcher = processes.noted(party.settings_home().process_file("launcher"))
    assert launcher is not None
    os.kill(launcher.pid, signal.SIGKILL)
    until(lambda: not launcher.is_running() or launcher.status() == psutil.STATUS_ZOMBIE)
    told = party.flow_json("party", "down")
    assert not told["stopped"]
    assert told["left"] >= len(left)
    assert not executors_of(party)
    until(lambda: gateway_of(party) is None)
    assert "was not running" in party.flow("party", "down")
