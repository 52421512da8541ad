"""Whatever process is killed at whatever moment of an encrypted job: same attempt, same model, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TextIO

import pytest

from flow.client import ENDED_JOB, FlowClient, JobState, JobView
from runtime.errors import Unavailable
from tests.fakes.nodes import eventually
from tests.fault.matrix.cells import CELLS, QUICK, Moment, Victim
from tests.fault.matrix.rooms import Federation, PartyRooms
from tests.fixtures.encrypted_job import encrypted_job

ROUNDS = 10
PART = 60  # cells of one part of `make soak`
PARTS = range(0, len(CELLS), PART)


def job() -> dict[str, Any]:
    return encrypted_job("matrix", ROUNDS, resources={"cores": 2})


class Matrix:
    """A federation, and the model of a job that nobody touched."""

    def __init__(self, federation: Federation) -> None:
        self.parties = federation.parties
        self.guest = federation.parties["hospital-a"]
        self.undisturbed = self.models(self.succeeded(self.submit("undisturbed")).id)

    def submit(self, token: str) -> str:
        with self.guest.client() as flow:
            return flow.submit(json.dumps(job()).encode(), submit_token=token)

    def succeeded(self, job_id: str) -> JobView:
        """The job, once every party has confirmed its end."""
        with self.guest.client() as flow:
            view: JobView = eventually(partial(_over, flow, job_id), 120.0, f"the end of job {job_id}", 0.05)
        assert view.state is JobState.SUCCEEDED, view.error
        return view

    def models(self, job_id: str) -> set[tuple[str, str]]:
        """What was trained: names and digests."""
        found = set()
        for party in self.parties.values():
            with party.client() as flow:
                found |= {(item.name, item.digest) for item in flow.outputs(job_id) if item.kind == "model"}
        return found

    def kill(self, victim: Victim, moment: Moment) -> None:
        """Run a job; at the moment, kill; then let all go on, and see that nothing of it was lost."""
        token = uuid.uuid4().hex
        stopping = self.parties[moment.party]
        stopping.stops_at.write_text(json.dumps({"point": moment.point, "when": moment.when}))
        submitting = threading.Thread(target=partial(self._try_to_submit, token))
        submitting.start()
        try:
            stopped = eventually(stopping.stopped, what=f"'{moment.point}' at {moment.party}", pause_s=0.005)
        finally:
            stopping.stops_at.unlink()
        killed = [pid for name in victim.parties for pid in self.parties[name].kill(victim.what)]
        assert killed, f"there is no {victim.name} to kill at '{moment.name}'"
        saved = {name: _saved(party) for name, party in self.parties.items()}
        if stopped not in killed:
            os.kill(stopped, signal.SIGCONT)
        for name in victim.parties:
            self.parties[name].up()
        submitting.join()
        job_id = self.submit(token)
        with EventLogs(self.parties, job_id) as logs:
            view = self.succeeded(job_id)
        assert self.models(job_id) == self.undisturbed
        assert [[attempt.attempt for attempt in task.attempts] for task in view.tasks] == [[1], [1]]
        for (name, incarnation), steps in logs.steps().items():
            assert incarnation == 1 or min(steps) > saved[name], f"{name} did rounds again that it had saved"
        for name, party in self.parties.items():
            eventually(partial(party.is_rid_of, job_id), what=f"that {name} is rid of {job_id}")

    def _try_to_submit(self, token: str) -> None:
        with suppress(Unavailable):  # Flow may be what is killed
            self.submit(token)


def _over(flow: FlowClient, job_id: str) -> JobView | None:
    with suppress(Unavailable):
        view = flow.job(job_id)
        return view if view.state in ENDED_JOB and view.closed else None
    return None


class EventLogs:
    """What the executors of the training say while it lasts. Each log is held open, for it goes with its job."""

    def __init__(self, parties: Mapping[str, PartyRooms], job_id: str) -> None:
        self._folders = {name: party.party.home / "state/node/executors" / job_id for name, party in parties.items()}
        self._open: dict[tuple[str, str], TextIO] = {}
        self._over = threading.Event()
        self._follow = threading.Thread(target=self._keep)

    def __enter__(self) -> Self:
        self._follow.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._follow.join()

    def steps(self) -> dict[tuple[str, int], list[int]]:
        """The steps that were saved, by party and incarnation."""
        found: dict[tuple[str, int], list[int]] = {}
        for (party, executor), log in self._open.items():
            with log:
                events = [json.loads(line) for line in log if line.endswith("\n")]
            steps = [event["body"]["step"] for event in events if event["kind"] == "checkpoint"]
            if steps:
                found[party, int(executor.rpartition("-i")[2])] = steps
        return found

    def _keep(self) -> None:
        while not self._over.wait(0.02):
            for name, folder in self._folders.items():
                with suppress(FileNotFoundError):  # they go at any moment
                    for log in folder.glob("train-1-*/events.jsonl"):
                        if (name, log.parent.name) not in self._open:
                            self._open[name, log.parent.name] = log.open()


def _saved(party: PartyRooms) -> int:
    """The newest checkpoint of the training, of the only job that there is."""
    files = (party.party.home / "store" / "checkpoints").glob("*/train/**/*.ckpt")
    return max((int(file.stem) for file in files), default=0)


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    federation = Federation(Path(tempfile.mkdtemp(prefix="apl-matrix-")))
    try:
        federation.up()
        yield Matrix(federation)
    finally:
        federation.down()


def record(victim: Victim, moment: Moment, seconds: float) -> None:
    """Write down how long a cell took, where the file of results is named: `docs/reliability.md` is made of it."""
    file = os.environ.get("MATRIX_RESULTS")
    if file:
        line = {"victim": victim.name, "moment": moment.name, "seconds": round(seconds, 1)}
        with Path(file).open("a") as results:
            results.write(json.dumps(line) + "\n")


def named(part: str, cells: Sequence[tuple[Victim, Moment]]) -> list[Any]:
    return [pytest.param(victim, moment, id=f"{part}{victim.name}, {moment.name}") for victim, moment in cells]


@pytest.mark.parametrize(("victim", "moment"), named("", QUICK))
def test_a_kill_costs_nothing(matrix: Matrix, victim: Victim, moment: Moment) -> None:
    matrix.kill(victim, moment)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("victim", "moment"),
    [cell for start in PARTS for cell in named(f"part{start // PART + 1} ", CELLS[start : start + PART])],
)
def test_no_kill_costs_anything(matrix: Matrix, victim: Victim, moment: Moment) -> None:
    began = time.monotonic()
    matrix.kill(victim, moment)
    record(victim, moment, time.monotonic() - began)
