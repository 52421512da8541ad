"""What Flow costs over three parties: do-nothing jobs one after the other, a hundred at once, and parties at rest.

Seconds of CPU are those of all processes of all parties, executors that have ended included. Dispatch is from the
submission of a job to the start of its first task. Memory is what the processes of a party do not share with others,
plus their part of what they do (PSS).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.noop_job import EXAMPLE, NAMES, run_one
from benchmarks.report import tell
from flow.client import FlowClient
from launcher.federation import LocalFederation

ONE_BY_ONE = 30
AT_ONCE = 100
REST_S = 10.0
LIMIT_S = 600.0


def main() -> None:
    """Measure and tell."""
    folder = Path(tempfile.mkdtemp(prefix="archipelago-bench-"))
    federation = LocalFederation(folder, NAMES)
    try:
        federation.create()
        federation.up()
        client = FlowClient.of_home(federation[NAMES[0]].settings_home())
        run_one(client)  # it waits for the imports of the warm parents
        processes = {name: _processes_of(federation[name].home) for name in NAMES}
        every = [process for some in processes.values() for process in some]
        rows = [*_one_by_one(client, every), *_at_once(client, every), *_at_rest(processes)]
        tell("flow", rows)
    finally:
        federation.down()
        shutil.rmtree(folder, ignore_errors=True)


def _one_by_one(client: FlowClient, processes: list[psutil.Process]) -> Iterator[dict[str, object]]:
    before_s = _cpu_s(processes)
    seconds = [run_one(client) for _ in range(ONE_BY_ONE)]
    yield _row("do-nothing job, submit to succeeded: p50", float(np.percentile(seconds, 50)), "s", 0.2)
    yield _row("the same: p99", float(np.percentile(seconds, 99)), "s")
    yield _row("CPU of a do-nothing job", (_cpu_s(processes) - before_s) / ONE_BY_ONE, "s", 0.2)


def _at_once(client: FlowClient, processes: list[psutil.Process]) -> Iterator[dict[str, object]]:
    before_s, begin = _cpu_s(processes), time.monotonic()
    names = {client.submit(EXAMPLE.read_bytes()) for _ in range(AT_ONCE)}
    submitted_s = time.monotonic() - begin
    while left := names - {job.id for job in client.jobs(limit=200, state="succeeded")}:
        if time.monotonic() - begin > LIMIT_S:
            raise SystemExit(f"{len(left)} of {AT_ONCE} jobs have not succeeded in {LIMIT_S:.0f} s")
        time.sleep(0.5)
    jobs = [client.job(name) for name in names]
    all_s = (max(job.ended_ms or 0 for job in jobs) - min(job.submitted_ms for job in jobs)) / 1000
    dispatch = [((job.started_ms or 0) - job.submitted_ms) / 1000 for job in jobs]
    yield _row(f"{AT_ONCE} jobs at once: submitting them", submitted_s, "s")
    yield _row("the same: ended in a second", AT_ONCE / all_s, "jobs/s", 10.0)
    yield _row("the same: dispatch p50", float(np.percentile(dispatch, 50)), "s")
    yield _row("the same: dispatch p99", float(np.percentile(dispatch, 99)), "s")
    yield _row("the same: CPU of a job", (_cpu_s(processes) - before_s) / AT_ONCE, "s", 0.2)


def _at_rest(processes: dict[str, list[psutil.Process]]) -> Iterator[dict[str, object]]:
    every = [process for some in processes.values() for process in some]
    time.sleep(REST_S)
    before_s = _cpu_s(every)
    time.sleep(REST_S)
    yield _row("a party at rest: share of a core", (_cpu_s(every) - before_s) / REST_S / len(processes), "cores")
    used = [sum(process.memory_full_info().pss for process in some) for some in processes.values()]
    yield _row("a party at rest: memory", float(np.median(used)) / 2**20, "MiB")


def _processes_of(home: Path) -> list[psutil.Process]:
    """The services of a party that is up."""
    return [process for process in psutil.process_iter() if str(home) in _words(process)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended, or is of the kernel
        return []


def _cpu_s(processes: list[psutil.Process]) -> float:
    """Seconds of CPU that they and their ended children have used so far."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def _row(what: str, value: float, unit: str, target: float | None = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": "" if target is None else target}


if __name__ == "__main__":
    main()
