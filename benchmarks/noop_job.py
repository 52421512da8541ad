"""What the platform itself costs: a do-nothing job over three parties, and the start of an executor.

Ten jobs are submitted one after the other through a party's REST interface; the time runs from the call of
`submit` until the job is seen as succeeded. The start of an executor is what its own `started` event tells: from
the order to the first line of algorithm code, torch imported in the warm parent.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import tell
from flow.client import FlowClient
from launcher.federation import LocalFederation

JOBS = 10
NAMES = ("hospital-a", "hospital-b", "coordinator")
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "noop" / "job.json"


def main() -> None:
    """Measure and tell."""
    folder = Path(tempfile.mkdtemp(prefix="archipelago-bench-"))
    federation = LocalFederation(folder, NAMES)
    try:
        federation.create()
        federation.up()
        client = FlowClient.of_home(federation[NAMES[0]].settings_home())
        walls, starts = [], []
        for _ in range(JOBS):
            begin = time.monotonic()
            job = client.submit(EXAMPLE.read_bytes())
            end = client.wait(job)
            walls.append(time.monotonic() - begin)
            if end.state != "succeeded":
                raise SystemExit(json.dumps(end.model_dump(mode="json")))
            starts += [float(str(e.body["started_s"])) for e in client.events(job) if "started_s" in e.body]
        tell(
            "noop_job",
            [
                _row("do-nothing job, submit to succeeded", walls, 1.5),
                _row("executor, order to first line", starts, 0.3),
            ],
        )
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


def _row(what: str, seconds: list[float], target: float) -> dict[str, object]:
    return {
        "what": what,
        "runs": len(seconds),
        "median_s": statistics.median(seconds),
        "worst_s": max(seconds),
        "target_s": target,
    }


if __name__ == "__main__":
    main()
