"""A toy of vertical learning by the same job.json in one process and across three parties: a guest and two hosts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launcher.federation import LocalFederation
from storage.client import Store, read_model_file

GUEST, HOSTS = "hospital-a", ("hospital-b", "coordinator")
DATA = {"guest": "cut/labels", "host": "cut/columns"}
PREDICT = {"component": "toy_predict@1", "inputs": {"model": "split.model", "data": DATA}}
JOB: dict[str, Any] = {
    "schema": 1,
    "name": "vertical",
    "initiator": GUEST,
    "roles": {"guest": [GUEST], "host": list(HOSTS)},
    "tasks": {"split": {"component": "toy_split@1", "inputs": {"data": DATA}}, "predict": PREDICT},
}


@pytest.fixture(scope="module")
def files(federation: LocalFederation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The columns of 60 rows cut between three parties, uploaded; the first column of the last host tells the label."""
    folder = tmp_path_factory.mktemp("cut")
    x = np.random.default_rng(5).normal(size=(60, 4))
    columns = {"labels": (x[:, 2] > 0.2)[:, None].astype(int), HOSTS[0]: x[:, :2], HOSTS[1]: x[:, 2:]}
    for name, values in columns.items():
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            out = csv.writer(stream)
            out.writerow(["id", *(["y"] if name == "labels" else ["first", "second"])])
            out.writerows([row, *cells] for row, cells in enumerate(values.tolist()))
    upload = ("data", "upload", folder / "labels.csv", "--table", DATA["guest"], "--id", "id", "--label", "y")
    federation[GUEST].flow(*upload)
    for host in HOSTS:
        federation[host].flow("data", "upload", folder / f"{host}.csv", "--table", DATA["host"], "--id", "id")
    return {name: folder / f"{name}.csv" for name in columns}


def run(federation: LocalFederation, file: Path, job: dict[str, Any]) -> str:
    file.write_text(json.dumps(job))
    submitted = str(federation[GUEST].flow_json("job", "submit", file)["job"])
    federation[GUEST].flow("job", "watch", submitted)
    return submitted


def test_one_job_runs_in_one_process_and_across_parties_and_its_model_predicts_in_another(
    federation: LocalFederation, files: dict[str, Path], tmp_path: Path
) -> None:
    trained = run(federation, tmp_path / "job.json", JOB)
    later = PREDICT | {"inputs": {"model": f"job:{trained}/split.model", "data": DATA}}
    again = run(federation, tmp_path / "later.json", JOB | {"tasks": {"predict": later}})
    data = [f"{DATA['guest']}={files['labels']},label=y", *(f"{h}:{DATA['host']}={files[h]}" for h in HOSTS)]
    words = [word for each in data for word in ("--data", each)]
    federation[GUEST].flow(
        "job", "run", "--local", tmp_path / "job.json", "--id", "id", *words, "--out", tmp_path / "here"
    )
    stores = {party: Store(federation[party].settings_home().store) for party in (GUEST, *HOSTS)}
    for party, store in stores.items():
        here = read_model_file(tmp_path / "here" / party / "split.model.safetensors")
        assert here.digest() == store.models.load(f"{trained}/split.model").digest()
    chosen = {host: stores[host].models.load(f"{trained}/split.model").details["column"] for host in HOSTS}
    assert chosen == {HOSTS[0]: "", HOSTS[1]: "first"}
    with (tmp_path / "here" / GUEST / "predict.predictions.csv").open() as stream:
        expected = [float(row["probability"]) for row in csv.DictReader(stream)]
    assert len(set(expected)) == 2
    for job in (trained, again):
        table = stores[GUEST].tables.open(f"job-{job.lower()}/predict-predictions@1").to_arrow()
        assert table.column("probability").to_pylist() == pytest.approx(expected)
