"""A value that outgrows its layout stops an encrypted training; a wider layout goes on from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launcher.federation import LocalFederation
from tests.e2e.federation.conftest import TRAINERS
from tests.fakes.nodes import eventually

WORKERS = (*TRAINERS, "coordinator")
ROUNDS = 8
LOCAL = {"learning_rate": 0.001, "weight_decay": 2500, "batch_size": 1024}  # |1 - learning_rate * weight_decay| > 1


def job(**parameters: object) -> dict[str, Any]:
    """A training on encrypted updates that grow from round to round."""
    return {
        "schema": 1,
        "name": "growing",
        "initiator": "hospital-a",
        "roles": {"guest": ["hospital-a"], "host": ["hospital-b"], "arbiter": ["coordinator"]},
        "settings": {"seed": 7},
        "tasks": {
            "train": {
                "component": "homo_lr@1",
                "inputs": {"train": {"guest": "breast/train", "host": "breast/train"}},
                "parameters": {"protection": {"kind": "paillier"}, "local": LOCAL, "rounds": ROUNDS, **parameters},
            }
        },
    }


def kept(federation: LocalFederation, party: str, job_id: str) -> list[Path]:
    """The files that lie beside each other in a party's store for a job: checkpoints and journals."""
    folder = federation[party].home / "store" / "checkpoints" / job_id
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_training_goes_on_with_a_wider_layout_from_where_it_stopped(
    federation: LocalFederation, tmp_path: Path
) -> None:
    guest = federation["hospital-a"]
    (tmp_path / "job.json").write_text(json.dumps(job(encoding={"value_range": 4})))
    first = guest.flow_json("job", "submit", tmp_path / "job.json")["job"]
    assert guest.run("job", "watch", first).returncode == 10

    error = guest.flow_json("job", "show", first)["error"]
    assert error["code"] == "algorithms.value_outgrew_layout"
    told = federation[error["party"]].flow_json("job", "show", first)["error"]
    assert "[" in told["message"], told
    assert "is outside the layout's range of ±4" in told["message"]
    other = next(party for party in TRAINERS if party != error["party"])
    assert "±4" not in json.dumps(federation[other].flow_json("job", "show", first)["error"])

    eventually(lambda: guest.flow_json("job", "show", first)["closed"])
    files = {party: kept(federation, party, first) for party in WORKERS}
    assert {path.suffix for found in files.values() for path in found} == {".ckpt"}
    stopped_at = max(set.intersection(*({int(path.stem) for path in found} for found in files.values())))
    assert stopped_at >= 2

    again = guest.run("job", "resume", first, "--set", "train.encoding.value_range=64", "--watch")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"train: goes on from step {stopped_at} of job {first}" in again.stdout
    second = again.stdout.split()[0]
    steps = {row["step"] for row in guest.flow_json("job", "metrics", second)}
    assert steps == set(range(stopped_at, ROUNDS + 1))
    eventually(lambda: guest.flow_json("job", "show", second)["closed"])
    for party in WORKERS:
        assert not kept(federation, party, first), party
        assert not kept(federation, party, second), party
