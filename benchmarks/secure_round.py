"""One federated round of many parameters over a whole federation: plain against Paillier.

Three trainers and an arbiter, each a party with all its services, on this machine; `exchange@1` adds up the numbers of
all trainers over mutual TLS, durable as shipped. Seconds are those of the slowest trainer, encryption's precomputed
tables included (they are made in the first round, so a round of one-round jobs is the dearest there is); keys are
agreed on before. Bytes are what all gateways sent to each other.

Memory is the peak of an executor's resident memory over that of one that does nothing (which has some 250 MB of
libraries), in MB and in times of the plain model: float32, as a network's weights are, and as it travels in the clear.
Any sum, however short, touches some 13 MB of program text, which counts here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import tell
from flow.client import FlowClient, JobView
from gateway.client import GatewayAdmin
from launcher.federation import LocalFederation
from node_manager.client import EventKind, ExecutorEvent, NodeClient, parse_event

TRAINERS = ("hospital-a", "hospital-b", "hospital-c")
ARBITER = "coordinator"
MODES: dict[str, dict[str, Any]] = {
    "plain": {"protection": {"kind": "plain"}},
    "exact, standard keys": {"protection": {"kind": "paillier"}},
    "compact, subgroup keys": {
        "protection": {"kind": "paillier", "keygen": "subgroup"},
        "encoding": {"packing": "compact"},
    },
}
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
LONG = 10_000_000  # minutes a round with standard keys; taken with --long
VALUE_BYTES = 4  # float32
MB = 1e6


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secure_round", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--turns", type=int, default=3, help="jobs of each kind; the median is told")
    parser.add_argument("--long", action="store_true", help="also exact packing with standard keys at 10M")
    asked, _ = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="archipelago-bench-"))
    federation = LocalFederation(folder, (*TRAINERS, ARBITER))
    try:
        federation.create()
        federation.up()
        measured = Measured(federation)
        rows = [
            measured.row(size, mode, 1 if size >= LONG else asked.turns)
            for size in asked.sizes
            for mode in MODES
            if asked.long or size < LONG or mode != "exact, standard keys"
        ]
        tell("secure_round", rows, {"key_bits": 2048, "trainers": len(TRAINERS), "to_reach": _targets(rows)})
        for line in _targets(rows):
            print(line)
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


class Measured:
    """Runs exchanges over a federation that is up."""

    def __init__(self, federation: LocalFederation) -> None:
        self._federation = federation
        self._client = FlowClient.of_home(federation[TRAINERS[0]].settings_home())
        self._run({"component": "noop@1"})  # the first job waits for the warm parents' imports
        self._idle = self._peaks(self._run({"component": "noop@1"}))

    def row(self, size: int, mode: str, turns: int) -> dict[str, Any]:
        """The medians of one size and mode."""
        found = [self._turn(size, mode) for _ in range(turns)]
        return {
            "values": size,
            "mode": mode,
            **{name: statistics.median(turn[name] for turn in found) for name in found[0]},
        }

    def _turn(self, size: int, mode: str) -> dict[str, float]:
        job = self._run(_task(size, mode))
        told = {
            (party, row["name"]): float(row["value"])
            for party in (*TRAINERS, ARBITER)
            for row in self._federation[party].flow_json("job", "metrics", job)
            if row["party"] == party
        }
        over_idle = {party: peak - self._idle[party] for party, peak in self._peaks(job).items()}
        return {
            "round_s": max(told[name, "seconds"] for name in TRAINERS),
            "trainer_cpu_s": max(told[name, "cpu_seconds"] for name in TRAINERS),
            "arbiter_cpu_s": told[ARBITER, "cpu_seconds"],
            "links_mb": self._sent(job) / MB,
            "trainer_mb": max(over_idle[name] for name in TRAINERS) / MB,
            "arbiter_mb": over_idle[ARBITER] / MB,
            "times_model": max(over_idle.values()) / (VALUE_BYTES * size),
        }

    def _run(self, task: dict[str, Any]) -> str:
        """The id of a job of one task that succeeded."""
        spec = {
            "schema": 1,
            "name": "secure-round",
            "initiator": TRAINERS[0],
            "roles": {"guest": [TRAINERS[0]], "host": list(TRAINERS[1:]), "arbiter": [ARBITER]},
            "tasks": {"exchange": task},
        }
        *_, end = self._client.watch(self._client.submit(json.dumps(spec).encode()))
        if not isinstance(end, JobView) or end.state != "succeeded":
            raise SystemExit(f"the job did not succeed: {end}")
        return end.id

    def _peaks(self, job: str) -> dict[str, int]:
        """The peak memory of each party's executor of a job."""
        return {party: self._end(party, job).body["peak_bytes"] for party in (*TRAINERS, ARBITER)}  # type: ignore[misc]

    def _end(self, party: str, job: str) -> ExecutorEvent:
        home = self._federation[party].settings_home()
        for event in map(parse_event, NodeClient(f"unix:{home.socket('node')}").events({})):
            if event.job == job and event.kind is EventKind.SUCCEEDED:
                return event
        raise SystemExit(f"{party} tells nothing of job {job}")

    def _sent(self, job: str) -> int:
        """What all gateways sent to each other, by their ledgers."""
        total = 0
        for party in (*TRAINERS, ARBITER):
            admin = GatewayAdmin(self._federation[party].settings_home().socket("gateway-admin"))
            total += sum(peer.bytes_out for peer in admin.close_job(job).peers.values())
            admin.close()
        return total


def _task(size: int, mode: str) -> dict[str, Any]:
    """The exchange of so many values."""
    parameters = {"values": size, **MODES[mode]}
    return {"component": "exchange@1", "parameters": parameters, "resources": {"cores": 1, "memory": "4GiB"}}


def _targets(rows: list[dict[str, Any]]) -> list[str]:
    """Each figure that there is a target for, beside it."""
    lines = []
    for row in rows:
        if row["values"] == 1_000_000 and row["mode"] != "plain":
            exact = row["mode"].startswith("exact")
            for name, most in (("round_s", 60 if exact else 10), ("links_mb", 60 if exact else 35)):
                lines.append(_line(row, name, most))
            lines += [_line(row, "arbiter_cpu_s", 2), _line(row, "times_model", 10)]
    return lines


def _line(row: dict[str, Any], name: str, most: float) -> str:
    verdict = "reached" if row[name] <= most else "MISSED"
    return f"{row['values']} values, {row['mode']}: {name} {row[name]:.2f}, at most {most}: {verdict}"


if __name__ == "__main__":
    main()
