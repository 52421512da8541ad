"""What Paillier adds to the demo's linear model: seconds of key set-up, and milliseconds a round.

The demo's parties train `homo_lr@1` on breast cancer in the clear and encrypted, for 1, 20 and 100 rounds, interleaved.
Seconds are those of the slowest trainer's executor; the slope between 1 and 100 rounds is a round's price, what is left
is the key's. Beside it stands what a person waits for: from submit to succeeded, of the whole job of the demo.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import tell
from flow.client import FlowClient, JobView
from launcher.demo_data import write_breast
from launcher.federation import LocalFederation
from node_manager.client import EventKind, NodeClient, parse_event

HOSPITALS = ("hospital-a", "hospital-b")
NAMES = (*HOSPITALS, "coordinator")
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "homo_lr" / "job.json"
TURNS = 3
ROUNDS = (1, 20, 100)
MOST_KEY_S, MOST_ROUND_MS, MOST_JOB_S = 1.0, 50.0, 6.0


def main() -> None:
    """Measure and tell."""
    folder = Path(tempfile.mkdtemp(prefix="archipelago-bench-"))
    federation = LocalFederation(folder, NAMES, policy=["min_protection=plain"])
    try:
        federation.create()
        federation.up()
        (folder / "data").mkdir()
        uploads, _ = write_breast(folder / "data", HOSPITALS)
        for item in uploads:
            federation[item.party].flow(
                "data", "upload", item.file, "--table", item.table, "--id", "id", "--label", "y"
            )
        tell("encrypted_lr", _rows(federation), {"key_bits": 2048})
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


def _rows(federation: LocalFederation) -> list[dict[str, Any]]:
    client = FlowClient.of_home(federation[HOSPITALS[0]].settings_home())
    _run(client, EXAMPLE.read_bytes())  # the first job waits for the warm parents' imports
    trained: dict[tuple[str, int], list[float]] = {(s, r): [] for s in ("plain", "paillier") for r in ROUNDS}
    whole = []
    for _ in range(TURNS):
        for (kind, rounds), seconds in trained.items():
            job, _ = _run(client, _spec(kind, rounds))
            seconds.append(max(_seconds(federation, name, job) for name in HOSPITALS))
        whole.append(_run(client, EXAMPLE.read_bytes())[1])
    middle = {key: statistics.median(seconds) for key, seconds in trained.items()}
    few, _, many = (middle["paillier", rounds] - middle["plain", rounds] for rounds in ROUNDS)
    a_round = (many - few) / (ROUNDS[2] - ROUNDS[0])
    return [
        {"what": "training, plain, 20 rounds, s", "median": middle["plain", 20], "at_most": ""},
        {"what": "training, Paillier, 20 rounds, s", "median": middle["paillier", 20], "at_most": ""},
        {"what": "added by Paillier, key set-up, s", "median": few - a_round, "at_most": MOST_KEY_S},
        {"what": "added by Paillier, each round, ms", "median": 1000 * a_round, "at_most": MOST_ROUND_MS},
        {"what": "the demo's job, submit to succeeded, s", "median": statistics.median(whole), "at_most": MOST_JOB_S},
    ]


def _spec(kind: str, rounds: int) -> bytes:
    """The demo's job without its evaluation."""
    spec = json.loads(EXAMPLE.read_bytes())
    del spec["tasks"]["evaluate"]
    spec["tasks"]["train"]["parameters"] |= {"protection": {"kind": kind}, "rounds": rounds}
    return json.dumps(spec).encode()


def _run(client: FlowClient, spec: bytes) -> tuple[str, float]:
    """The id of a job that succeeded, and the seconds from the call of submit until then."""
    begin = time.monotonic()
    *_, end = client.watch(client.submit(spec))
    if not isinstance(end, JobView) or end.state != "succeeded":
        raise SystemExit(f"the job did not succeed: {end}")
    return end.id, time.monotonic() - begin


def _seconds(federation: LocalFederation, party: str, job: str) -> float:
    """How long a party's executor of the training took."""
    for event in map(parse_event, NodeClient(f"unix:{federation[party].settings_home().socket('node')}").events({})):
        if (event.job, event.task, event.kind) == (job, "train", EventKind.SUCCEEDED):
            return float(str(event.body["seconds"]))
    raise SystemExit(f"{party} tells nothing of job {job}")


if __name__ == "__main__":
    main()
