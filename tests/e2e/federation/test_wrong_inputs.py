"""Wrong inputs each give a clear error with its exit code, and change nothing."""

from __future__ import annotations

import copy
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from launcher.federation import LocalFederation, LocalParty

JOB: dict[str, Any] = {
    "schema": 1,
    "name": "wrong-inputs",
    "initiator": "hospital-a",
    "roles": {"guest": ["hospital-a"], "host": ["hospital-b"], "arbiter": ["coordinator"]},
    "tasks": {
        "train": {
            "component": "homo_lr@1",
            "inputs": {"train": {"guest": "breast/train", "host": "breast/train"}},
            "parameters": {"rounds": 2, "protection": {"kind": "paillier"}},
        }
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The job with one field set; `value` None removes it."""
    job = copy.deepcopy(JOB)
    *parents, last = path.split(".")
    at = job
    for key in parents:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return job


def written(folder: Path, job: object) -> Path:
    file = folder / "job.json"
    file.write_text(job if isinstance(job, str) else json.dumps(job))
    return file


@pytest.fixture
def guest(federation: LocalFederation) -> LocalParty:
    return federation["hospital-a"]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ('{"schema": 1,', ["job.json", "JSON"]),
        (changed("tasks.train.parameters.rounds", "many"), ["tasks.train.parameters.rounds"]),
        (changed("tasks.train.paramters", {}), ["tasks.train.paramters", "parameters"]),
        (
            changed("tasks.train.component", "homo_rl@1"),
            ["tasks.train.component", "homo_rl", "did you mean", "homo_lr"],
        ),
        (changed("roles.host", ["hospital-x"]), ["hospital-x"]),
        (changed("roles.arbiter", ["hospital-b"]), ["hospital-b", "arbiter"]),
        (changed("schema", 99), ["schema", "99"]),
        (changed("schema", None), ["schema"]),
        (changed("tasks", {}), ["tasks"]),
    ],
    ids=["not json", "wrong type", "unknown key", "component", "party", "arbiter trains", "schema", "none", "no tasks"],
)
def test_a_wrong_job_is_refused_with_the_path_of_the_field(
    guest: LocalParty, tmp_path: Path, job: object, says: list[str]
) -> None:
    before = guest.flow_json("job", "list")
    done = guest.run("job", "submit", written(tmp_path, job))
    assert done.returncode in (2, 3), done.stderr
    for word in says:
        assert word.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert guest.flow_json("job", "list") == before


def test_an_unknown_table_is_named_with_its_party(guest: LocalParty, tmp_path: Path) -> None:
    job = changed("tasks.train.inputs.train.guest", "breast/tarin")
    done = guest.run("job", "submit", written(tmp_path, job), "--watch")
    assert done.returncode in (2, 3, 12), done.stderr
    text = done.stdout + done.stderr
    assert "breast/tarin" in text
    assert "breast/train" in text


def test_an_unknown_table_at_another_party_refuses_the_job(guest: LocalParty, tmp_path: Path) -> None:
    job = changed("tasks.train.inputs.train.host", "breast/nowhere")
    done = guest.run("job", "submit", written(tmp_path, job), "--watch")
    assert done.returncode == 12, done.stderr
    assert "breast/nowhere" in done.stdout + done.stderr
    assert "hospital-b" in done.stdout + done.stderr


def test_a_party_that_refuses_ends_the_job_with_its_reason(
    federation: LocalFederation, guest: LocalParty, tmp_path: Path
) -> None:
    job = changed("roles.host", ["refuser"])
    submitted = guest.flow_json("job", "submit", written(tmp_path, job))
    done = guest.run("job", "watch", submitted["job"])
    assert done.returncode == 12
    shown = guest.flow_json("job", "show", submitted["job"])
    assert shown["state"] == "refused"
    assert shown["error"]["party"] == "refuser"
    for name in ("hospital-a", "coordinator"):
        assert not list((federation[name].home / "store" / "staging").glob("**/*.*"))


def test_the_same_token_gives_the_same_job_and_refuses_another_file(guest: LocalParty, tmp_path: Path) -> None:
    first = guest.flow_json(
        "job", "submit", written(tmp_path, changed("roles.host", ["refuser"])), "--submit-token", "t-1"
    )
    again = guest.flow_json("job", "submit", tmp_path / "job.json", "--submit-token", "t-1")
    assert again["job"] == first["job"]
    before = guest.flow_json("job", "list")
    other = written(tmp_path, changed("name", "another"))
    done = guest.run("job", "submit", other, "--submit-token", "t-1")
    assert done.returncode == 5, done.stderr
    assert guest.flow_json("job", "list") == before


def test_a_bad_line_of_a_csv_is_named_and_nothing_is_registered(guest: LocalParty, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("id,y,x\n1,0,0.5\n2,1,0.25\n3,0\n")
    before = guest.flow_json("data", "list")
    done = guest.run("data", "upload", file, "--table", "breast/bad", "--id", "id", "--label", "y")
    assert done.returncode == 2, done.stderr
    assert "bad.csv" in done.stderr
    assert "line 4" in done.stderr
    assert guest.flow_json("data", "list") == before


def test_a_port_in_use_is_named_and_nothing_stays_running(tmp_path: Path) -> None:
    party = LocalFederation(tmp_path, ["lonely"])["lonely"]
    party.flow("party", "init", "lonely")
    host, _, port = party.settings_home().settings.flow.listen.rpartition(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        done = party.run("party", "up", "--detach")
    assert done.returncode == 6, done.stderr
    assert port in done.stderr
    status = party.run("party", "status")
    assert status.returncode in (6, 20)
