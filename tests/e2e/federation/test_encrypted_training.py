"""Training on encrypted updates over real parties: what it equals, what crosses, what stays behind."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from gateway.client import GatewayAdmin
from launcher.federation import LocalFederation
from storage.client import Store, read_model_file
from tests.e2e.federation.conftest import TRAINERS
from tests.e2e.leaks import found, recordings

CANARY = 7719.401562839175  # a value that no computation makes by chance
PARTIES = (*TRAINERS, "coordinator")
PAILLIER = {"kind": "paillier"}


def local(learning_rate: float) -> dict[str, float]:
    """How each party trains."""
    return {"learning_rate": learning_rate, "batch_size": 64}


def job(name: str, table: str, **parameters: object) -> dict[str, Any]:
    """Scale, then train a linear model; one trainer is the guest."""
    return {
        "schema": 1,
        "name": name,
        "initiator": "hospital-a",
        "roles": {"guest": ["hospital-a"], "host": ["hospital-b"], "arbiter": ["coordinator"]},
        "settings": {"seed": 7},
        "tasks": {
            "train": {
                "component": "homo_lr@1",
                "inputs": {"train": {"guest": table, "host": table}},
                "parameters": parameters,
            }
        },
    }


def run(federation: LocalFederation, folder: Path, spec: dict[str, Any]) -> str:
    """Submit, watch to its end, and return the id of a job that succeeded."""
    file = folder / f"{spec['name']}.json"
    file.write_text(json.dumps(spec))
    guest = federation["hospital-a"]
    submitted = str(guest.flow_json("job", "submit", file)["job"])
    guest.flow("job", "watch", submitted)
    return submitted


def model_of(federation: LocalFederation, party: str, job_id: str) -> np.ndarray:
    """All parameters of a party's part of the trained model, one vector."""
    model = Store(federation[party].settings_home().store).models.load(f"{job_id}/train.model")
    return np.concatenate([np.ravel(model.arrays[name]) for name in sorted(model.arrays)]).astype(np.float64)


@pytest.fixture(scope="module")
def canary_table(federation: LocalFederation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small scaled table at each trainer in which one row holds the canary in every column."""
    folder = tmp_path_factory.mktemp("canary")
    rng = np.random.default_rng(5)
    for party in TRAINERS:
        x = rng.normal(size=(120, 6))
        y = (x @ np.arange(1, 7) > 0).astype(int)
        x[17] = CANARY
        with (folder / f"{party}.csv").open("w", newline="") as stream:
            out = csv.writer(stream)
            out.writerow(["id", "y", *(f"x{i}" for i in range(6))])
            out.writerows([i, y[i], *(repr(float(v)) for v in x[i])] for i in range(len(y)))
        federation[party].flow(
            "data", "upload", folder / f"{party}.csv", "--table", "canary/train", "--id", "id", "--label", "y"
        )
    return "canary/train"


def test_the_encrypted_run_equals_the_plain_ones(federation: LocalFederation, tmp_path: Path) -> None:
    runs = {
        "encrypted": {"protection": {"kind": "paillier"}},
        "fixed": {"protection": {"kind": "plain"}, "encoding": {"kind": "fixed_point"}},
        "float": {"protection": {"kind": "plain"}},
    }
    scaled = {"local": local(0.001), "rounds": 5}
    models = {
        name: model_of(federation, "hospital-a", run(federation, tmp_path, job(name, "breast/train", **scaled, **how)))
        for name, how in runs.items()
    }
    assert np.any(models["encrypted"] != 0)
    assert models["encrypted"].tobytes() == models["fixed"].tobytes()
    np.testing.assert_allclose(models["encrypted"], models["float"], rtol=0, atol=1e-6)


def test_a_run_in_one_process_gives_the_same_model_bit_for_bit(federation: LocalFederation, tmp_path: Path) -> None:
    spec = job("one-process", "breast/train", rounds=2, local=local(0.001))
    trained = run(federation, tmp_path, spec)
    files = [f"{party}:breast/train={federation.folder / f'breast_train_{party}.csv'}" for party in TRAINERS]
    federation["hospital-a"].flow(
        "job", "run", "--local", tmp_path / f"{spec['name']}.json", "--id", "id", "--label", "y",
        *(word for file in files for word in ("--data", file)), "--out", tmp_path / "here",
    )  # fmt: skip
    for party in TRAINERS:
        here = read_model_file(tmp_path / "here" / party / "train.model.safetensors")
        store = Store(federation[party].settings_home().store)
        assert here.digest() == store.models.load(f"{trained}/train.model").digest()


@pytest.mark.parametrize("kind", ["plain", "paillier"])
def test_parameters_cross_only_in_a_plain_run_and_rows_never(
    federation: LocalFederation, tmp_path: Path, canary_table: str, kind: str
) -> None:
    before = recordings(federation.folder / "envelopes")
    spec = job(f"leaks-{kind}", canary_table, rounds=1, protection={"kind": kind}, local=local(0.01))
    trained = run(federation, tmp_path, spec)
    crossed = b"".join(file.read_bytes() for file in recordings(federation.folder / "envelopes") - before)
    parameters = model_of(federation, "hospital-a", trained)
    assert len(crossed) > 1000
    hits = found(parameters, crossed)
    assert bool(hits) == (kind == "plain"), hits
    assert not found([CANARY], crossed)
    assert repr(CANARY).encode()[:10] not in crossed


def test_every_trainer_has_the_same_model_and_the_arbiter_none(federation: LocalFederation, tmp_path: Path) -> None:
    spec = job("same", "breast/train", rounds=2, protection=PAILLIER, local=local(0.001))
    trained = run(federation, tmp_path, spec)
    models = [model_of(federation, party, trained).tobytes() for party in TRAINERS]
    assert models[0] == models[1]
    assert not Store(federation["coordinator"].settings_home().store).models.list()


def test_nothing_of_a_job_stays_behind(federation: LocalFederation, tmp_path: Path) -> None:
    spec = job("tidy", "breast/train", rounds=1, protection=PAILLIER, local=local(0.001))
    trained = run(federation, tmp_path, spec)
    for party in PARTIES:
        home = federation[party].home
        for folder in (home / "state", home / "store" / "staging", home / "run"):
            left = [path for path in folder.rglob("*") if trained.lower() in path.name.lower()]
            assert not left, (party, left)
        assert trained not in GatewayAdmin(federation[party].settings_home().socket("gateway-admin")).jobs()
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert not [c for c in commands if trained in c]


def test_a_job_can_be_stopped_at_every_party(federation: LocalFederation, tmp_path: Path) -> None:
    spec = job("long", "breast/train", rounds=100_000, local=local(0.0001))
    (tmp_path / "long.json").write_text(json.dumps(spec))
    guest = federation["hospital-a"]
    submitted = guest.flow_json("job", "submit", tmp_path / "long.json")["job"]
    with guest.popen("job", "watch", submitted) as watcher:
        federation["hospital-a"].flow("job", "stop", submitted)
        assert watcher.wait(timeout=60) == 11
    assert guest.flow_json("job", "show", submitted)["state"] == "cancelled"


def test_an_executor_with_two_cores_computes_with_workers_and_leaves_none(
    federation: LocalFederation, tmp_path: Path
) -> None:
    spec = job("exchange", "breast/train")
    spec["tasks"] = {
        "exchange": {
            "component": "exchange@1",
            "parameters": {"values": 30_000, "rounds": 2, "protection": PAILLIER | {"keygen": "subgroup"}},
            "resources": {"cores": 1, "hospital-a": {"cores": 2}},
        }
    }
    (tmp_path / "exchange.json").write_text(json.dumps(spec))
    guest = federation["hospital-a"]
    submitted = str(guest.flow_json("job", "submit", tmp_path / "exchange.json")["job"])
    most = 0
    with guest.popen("job", "watch", submitted) as watcher:
        while watcher.poll() is None:
            most = max(most, len(workers()))
            time.sleep(0.05)
    assert watcher.returncode == 0
    assert most == 2
    assert not workers()


def workers() -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == "worker"]
