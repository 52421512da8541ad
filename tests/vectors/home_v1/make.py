"""Make the stored home: three parties run a job, and the home of one of them is packed.

Run as `python -m tests.vectors.home_v1.make FOLDER`, where the three files are written.
"""

from __future__ import annotations

import json
import random
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from launcher.federation import LocalFederation, LocalParty

PARTIES = ("north", "south", "judge")
ROWS = 40
EARLY = {"rounds": 2, "protection": {"kind": "paillier"}}
JOB: dict[str, Any] = {
    "schema": 1,
    "name": "stored",
    "initiator": "north",
    "roles": {"guest": ["north"], "host": ["south"], "arbiter": ["judge"]},
    "settings": {"seed": 7},
    "tasks": {
        "scale": {
            "component": "scale@1",
            "inputs": {"data": "kept/rows"},
            "parameters": {"protection": {"kind": "paillier"}},
        },
        "linear": {"component": "homo_lr@1", "inputs": {"train": "scale.data"}, "parameters": EARLY},
        "network": {
            "component": "homo_nn@1",
            "inputs": {"train": "scale.data"},
            "parameters": {"rounds": 2, "net": {"name": "mlp", "hidden": [4]}, "protection": {"kind": "plain"}},
        },
        "judged": {
            "component": "evaluate@1",
            "roles": ["guest"],
            "inputs": {"model": "linear.model", "data": "scale.data"},
        },
        "told": {
            "component": "predict@1",
            "roles": ["guest"],
            "inputs": {"model": "network.model", "data": "scale.data"},
        },
    },
}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="apl-home-") as made:
        folder = Path(made)
        federation = LocalFederation(folder, PARTIES, policy=["min_protection=plain"])
        federation.create()
        try:
            federation.up()
            expected = _run(federation, folder)
        finally:
            federation.down()
        with tarfile.open(out / "home.tar.gz", "w:gz") as archive:
            archive.add(federation["north"].home, "north", filter=_kept)
    (out / "job.json").write_text(json.dumps(JOB, indent=2) + "\n")
    (out / "expected.json").write_text(json.dumps(expected, indent=2, sort_keys=True) + "\n")


def _run(federation: LocalFederation, folder: Path) -> dict[str, Any]:
    """Run the job; what the guest shows of it afterwards."""
    for number, name in enumerate(("north", "south")):
        (folder / f"{name}.csv").write_text(rows(number))
        words = ("data", "upload", folder / f"{name}.csv", "--table", "kept/rows", "--id", "id", "--label", "y")
        federation[name].flow(*words)
    (folder / "job.json").write_text(json.dumps(JOB))
    north = federation["north"]
    job = north.flow_json("job", "submit", folder / "job.json")["job"]
    north.flow("job", "watch", job)
    return {"job": job, **shown(north, job)}


def shown(party: LocalParty, job: str) -> dict[str, Any]:
    """What a party shows of the job and of what it keeps, without times."""
    return {
        "metrics": [
            {key: row[key] for key in ("task", "party", "name", "step", "value")}
            for row in party.flow_json("job", "metrics", job)
        ],
        "outputs": party.flow_json("job", "outputs", job),
        "tables": party.flow_json("data", "list"),
        "models": party.flow_json("model", "list"),
    }


def rows(seed: int) -> str:
    """A made-up table of one party, as CSV."""
    chance = random.Random(seed)
    lines = ["id,a,b,y"]
    for row in range(ROWS):
        a, b = chance.gauss(0, 1), chance.gauss(0, 1)
        lines.append(f"{seed}-{row},{a:.4f},{b:.4f},{int(a + b > 0)}")
    return "\n".join(lines) + "\n"


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The entry without who made it; sockets, locks and logs of the run are left out."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return None if entry.name.startswith("north/run/") or not (entry.isfile() or entry.isdir()) else entry


if __name__ == "__main__":
    main(Path(sys.argv[1]))
