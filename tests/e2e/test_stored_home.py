"""What was stored when formats were frozen opens in this release, and is worked with."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from launcher.federation import LocalParty
from party.home_init import Ports
from tests.vectors.home_v1.make import rows, shown

STORED = Path(str(files("tests.vectors.home_v1")))
EXPECTED = json.loads((STORED / "expected.json").read_text())
JOB = EXPECTED["job"]


@pytest.fixture(scope="module")
def north(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalParty]:
    """The stored party, running, on ports that are free here and with a card that is valid today."""
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "home.tar.gz") as archive:
        archive.extractall(folder, filter="tar")
    party = LocalParty("north", folder)
    _listen_elsewhere(party.home / "party.toml")
    if datetime.fromisoformat(party.settings_home().card.valid_until) < datetime.now(UTC) + timedelta(days=1):
        party.flow("party", "card", "--renew")
    party.flow("party", "up", "--detach")
    try:
        yield party
    finally:
        party.run("party", "down")


def _listen_elsewhere(settings: Path) -> None:
    ports = iter(Ports.pick().all())
    settings.write_text(
        re.sub(r'(?m)^listen = "127.0.0.1:\d+"$', lambda _: f'listen = "127.0.0.1:{next(ports)}"', settings.read_text())
    )


def _assert_still_there(expected: Any, now: Any, path: str) -> None:
    """Everything that was shown is shown; a later release may show more beside it."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in now, f"{path}.{key} is gone"
            _assert_still_there(value, now[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(now) == len(expected), f"{path} has {len(now)} items"
        for place, value in enumerate(expected):
            _assert_still_there(value, now[place], f"{path}[{place}]")
    else:
        assert now == expected, path


def test_jobs_metrics_tables_and_models_are_shown_as_when_they_were_stored(north: LocalParty) -> None:
    now = shown(north, JOB)
    for subject in ("metrics", "outputs", "tables", "models"):
        _assert_still_there(EXPECTED[subject], now[subject], subject)
    assert north.flow_json("job", "show", JOB)["state"] == "succeeded"


def test_a_stored_model_of_each_kind_scores_rows_of_a_stored_table(north: LocalParty, tmp_path: Path) -> None:
    told = f"job-{JOB.lower()}/told-predictions"
    north.flow("data", "export", told, "--to", tmp_path / "then.csv")
    tasks = {
        "rows": {
            "component": "scale@1",
            "inputs": {"data": "kept/rows", "model": f"job:{JOB}/scale.model"},
            "parameters": {"fit": False},
        }
    }
    for kind in ("linear", "network"):
        inputs = {"model": f"job:{JOB}/{kind}.model", "data": "rows.data"}
        tasks[kind] = {"component": "predict@1", "inputs": inputs}
    job = {"schema": 1, "name": "later", "initiator": "north", "roles": {"guest": ["north"]}, "tasks": tasks}
    (tmp_path / "job.json").write_text(json.dumps(job))
    later = north.flow_json("job", "submit", tmp_path / "job.json")["job"]
    north.flow("job", "watch", later)
    north.flow("data", "export", f"job-{later.lower()}/network-predictions", "--to", tmp_path / "now.csv")
    assert (tmp_path / "now.csv").read_bytes() == (tmp_path / "then.csv").read_bytes()
    north.flow("job", "outputs", later, "--get", tmp_path / "all")


def test_the_stored_job_file_trains_in_this_release(tmp_path: Path) -> None:
    words = []
    for number, party in enumerate(("north", "south")):
        (tmp_path / f"{party}.csv").write_text(rows(number))
        words += ["--data", f"{party}:kept/rows={tmp_path / party}.csv,label=y"]
    LocalParty("north", tmp_path).flow(
        "job", "run", "--local", STORED / "job.json", "--id", "id", *words, "--out", tmp_path / "out"
    )
    assert (tmp_path / "out" / "north" / "network.model.safetensors").exists()
