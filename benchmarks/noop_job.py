"""What the platform itself costs: a do-nothing job over three parties, and the start of an executor.

Ten jobs are submitted one after the other through a party's REST interface; the time runs from the call of
`submit` until the job is seen as succeeded. The start of an executor is what its own `started` event tells: from
the order to the first line of algorithm code, torch imported in the warm parent.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

from benchmarks.report import tell
from flow.client import FlowClient, JobView
from launcher.federation import LocalFederation
from node_manager.client import EventKind, NodeClient, NodeUnavailable, parse_event
from party.home import PartyHome

JOBS = 10
READ_S = 2.0
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
        with ExitStack() as stack:  # heard as they are told: a node keeps nothing of an ended job
            heard = [stack.enter_context(_starts(federation[name].settings_home())) for name in NAMES]
            walls = [run_one(client) for _ in range(JOBS + 1)][1:]  # the first waits for the warm parent's imports
        starts = [seconds for of_party in heard for seconds in of_party[1:]]
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


def run_one(client: FlowClient) -> float:
    """Seconds from the call of submit until the job is seen as succeeded."""
    begin = time.monotonic()
    *_, end = client.watch(client.submit(EXAMPLE.read_bytes()))
    seconds = time.monotonic() - begin
    if not isinstance(end, JobView) or end.state != "succeeded":
        raise SystemExit(f"the job did not succeed: {end}")
    return seconds


@contextmanager
def _starts(home: PartyHome) -> Iterator[list[float]]:
    """What each executor of a party tells of its start meanwhile, in the order in which they start."""
    stream = NodeClient(f"unix:{home.socket('node')}").events({})
    found: list[float] = []

    def listen() -> None:
        with suppress(NodeUnavailable):
            for event in map(parse_event, stream):
                if event.kind is EventKind.STARTED:
                    found.append(float(str(event.body["started_s"])))

    listener = Thread(target=listen, daemon=True)
    listener.start()
    yield found
    stream.close()
    listener.join(READ_S)


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
