"""Executors are killed in the middle of an encrypted training: same attempt, same model, no round done again."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flow.participant.running import MOST_UNSAVED
from launcher.federation import LocalFederation, LocalParty
from tests.fakes.nodes import eventually
from tests.fixtures.encrypted_job import PARTIES, encrypted_job

ROUNDS = 100


def job() -> dict[str, Any]:
    return encrypted_job("killed", ROUNDS)


def executors(party: LocalParty, job_id: str) -> dict[int, int]:
    """The pids of a job's executors at a party, by incarnation."""
    folders = (party.home / "state" / "node" / "executors" / job_id).glob("train-1-*/process.json")
    return {int(file.parent.name.rpartition("-i")[2]): json.loads(file.read_text())["pid"] for file in folders}


def models(federation: LocalFederation, job_id: str) -> set[str]:
    """The digests of the trained models."""
    listed = (item for party in PARTIES for item in federation[party].flow_json("job", "outputs", job_id))
    return {item["digest"] for item in listed if item["kind"] == "model" and item["task"] == "train"}


@pytest.fixture(scope="module")
def undisturbed(federation: LocalFederation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same job, not touched."""
    file = tmp_path_factory.mktemp("undisturbed") / "job.json"
    file.write_text(json.dumps(job()))
    done = federation["hospital-a"].run("job", "submit", file, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[0]


def test_each_executor_is_killed_in_its_turn_and_the_model_is_the_same(
    federation: LocalFederation, undisturbed: str, tmp_path: Path
) -> None:
    guest = federation["hospital-a"]
    (tmp_path / "job.json").write_text(json.dumps(job()))
    submitted = guest.flow_json("job", "submit", tmp_path / "job.json")["job"]
    for number, party in enumerate(PARTIES, start=1):
        eventually(lambda n=number, p=party: step(federation[p], submitted) >= 5 * n)
        os.kill(executors(federation[party], submitted)[1], signal.SIGKILL)
        saved, again = step(federation[party], submitted), []
        eventually(lambda p=party, found=again: found.extend(steps_of_second(federation[p], submitted)) or found)
        assert saved <= min(again) <= saved + 1
    guest.flow("job", "watch", submitted)
    expected = models(federation, undisturbed)
    assert len(expected) == 1
    assert models(federation, submitted) == expected
    view = guest.flow_json("job", "show", submitted)
    assert [[a["attempt"] for a in task["attempts"]] for task in view["tasks"]] == [[1], [1]]


def test_an_attempt_that_came_no_further_is_followed_by_one_from_the_last_common_checkpoint(
    federation: LocalFederation, undisturbed: str, tmp_path: Path
) -> None:
    guest, host = federation["hospital-a"], federation["hospital-b"]
    (tmp_path / "job.json").write_text(json.dumps(job()))
    submitted = guest.flow_json("job", "submit", tmp_path / "job.json")["job"]
    eventually(lambda: step(host, submitted) >= 5)
    os.kill(executors(federation["coordinator"], submitted)[1], signal.SIGSTOP)
    eventually(lambda: stands(host, submitted))
    for incarnation in range(1, 1 + MOST_UNSAVED + 2):
        eventually(lambda n=incarnation: n in executors(host, submitted))
        os.kill(executors(host, submitted)[incarnation], signal.SIGKILL)
    guest.flow("job", "watch", submitted)
    assert models(federation, submitted) == models(federation, undisturbed)
    view = guest.flow_json("job", "show", submitted)
    first, second = view["tasks"][1]["attempts"]
    assert (first["state"], second["from_attempt"]) == ("lost", 1)
    assert second["from_step"] >= 4
    rows = guest.flow_json("job", "metrics", submitted)
    again = {row["step"] for row in rows if row["attempt"] == 2 and row["step"]}
    assert (min(again), max(again)) == (second["from_step"], ROUNDS), "of a round is told in the one after it"


def stands(party: LocalParty, job_id: str) -> bool:
    """Whether the training has saved nothing for a while."""
    before = step(party, job_id)
    time.sleep(1.0)
    return step(party, job_id) == before


def step(party: LocalParty, job_id: str) -> int:
    """The newest checkpoint of the training at a party."""
    files = (party.home / "store" / "checkpoints" / job_id / "train").rglob("*.ckpt")
    return max((int(file.stem) for file in files), default=0)


def steps_of_second(party: LocalParty, job_id: str) -> list[int]:
    """The steps that the second incarnation of a party's executor saved."""
    logs = (party.home / "state" / "node" / "executors" / job_id).glob("train-1-*-i2/events.jsonl")
    lines = [line for log in logs for line in log.read_text().splitlines(keepends=True)]
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["body"]["step"] for event in events if event["kind"] == "checkpoint"]
