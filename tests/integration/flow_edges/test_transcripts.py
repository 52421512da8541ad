"""The command line as transcripts: what is typed, what comes out, how it ends.

$ flow ...        a command; the lines below it are its stdout, without differences of spacing
! exit N          how it ends (0 if absent)
stderr: ...       its stderr
@ begin JOB       the job runs
@ play JOB        the job runs to its end
@ wait JOB        it waits for room, behind another
@ refuse JOB      the policy of this party refused it
...               anything, a whole line or the rest of one
<JOB> <TIME> <SIZE>   a job id (the same one all along), a time, a size
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster_manager.client import Place
from flow.job.states import JobState
from flow.views.cleaning import CleanedJob
from flow.views.dry_run import DryRunView
from node_manager.client import Resources
from tests.fakes.flow_party import FakeParty, fake_party, job_json
from tests.integration.flow_edges.conftest import Command

FOLDER = Path(__file__).parent / "transcripts"
ANY = {"<TIME>": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<SIZE>": r"[\d.]+ (B|KiB)"}


PLACE = {"task": "train", "component": "homo_lr@1", "cores": 1, "memory_bytes": 1 << 30}
WOULD = DryRunView.model_validate(
    {
        "parties": [
            {"party": "coordinator", "roles": ["arbiter"], "decision": "ask"},
            {"party": "hospital-a", "roles": ["guest"], "decision": "agree"},
            {"party": "hospital-b", "roles": ["host"], "decision": "refuse", "reasons": ["There is no table."]},
            {"party": "hospital-c", "roles": ["host"], "decision": "unknown", "reasons": ["It is away."]},
        ],
        "runs": [
            PLACE | {"address": "guest:hospital-a", "fits": True},
            PLACE | {"address": "host:hospital-b", "cores": 2, "gpus": 1, "fits": False},
            PLACE | {"address": "arbiter:coordinator"},
        ],
        "conversation": [
            {
                "task": "train", "tag": "sum", "purpose": "The sum.", "senders": ["arbiter:coordinator"],
                "receivers": ["guest:hospital-a"], "protection": "plain", "means": "the receiver reads it",
                "max_bytes": 4096,
            }
        ],
        "estimates": [
            {"task": "train", "party": "hospital-a", "most_bytes": 8192, "seconds": 12.0, "steps": 20, "measured": 3},
            {"task": "train", "party": "coordinator", "unsaid": ["sum", "start"]},
        ],
    }
)  # fmt: skip

OTHER = "01M84NKVCS9025W7T6P1XBY3P8"
ROOM = Resources(cores=2, memory_bytes=1 << 30)
PLACE = {"task": "train", "attempt": 1, "priority": 5, "owner": "hospital-b"}
RUNS = [
    Place(state="started", job=OTHER, sizes={at: ROOM}, nodes={at: "n1"}, **PLACE)
    for at in ("arbiter:hospital-a", "host:hospital-a")
]
WAITS = Place(
    state="waits", job="", sizes={"guest:hospital-a": ROOM}, since_ms=1_767_225_600_000, behind=(OTHER,),
    why="n1: 0 of 4 cores free, 2 wanted; other jobs are before it", **PLACE,
)  # fmt: skip


@dataclass
class Step:
    line: str
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    code: int = 0


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    for line in text.splitlines():
        if line.startswith(("$", "@")):
            found.append(Step(line))
        elif line.startswith("! exit "):
            found[-1].code = int(line.removeprefix("! exit "))
        elif line.startswith("stderr: "):
            found[-1].err.append(line.removeprefix("stderr: "))
        elif line and not line.startswith("#"):
            found[-1].out.append(line)
    return found


def pattern(lines: list[str], job: str) -> str:
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        text = re.escape(re.sub(r"\s+", " ", line).strip())
        for name, what in {**ANY, "<JOB>": job or "(?P<JOB>[0-9A-Z]{26})"}.items():
            text = text.replace(re.escape(name), what)
        parts.append(text.replace(r"\.\.\.", ".*") + r"\n")
    return "".join(parts)


def plain(text: str) -> str:
    return "".join(re.sub(r"\s+", " ", line).strip() + "\n" for line in text.splitlines() if line.strip())


@pytest.fixture
def party(tmp_path: Path) -> FakeParty:
    with fake_party(tmp_path / "p") as made:
        yield made


@pytest.mark.parametrize("name", ["jobs", "wrong", "data", "control", "people", "queue"])
def test_the_command_line_answers_as_written(party: FakeParty, folder: Path, name: str) -> None:
    (folder / "job.json").write_bytes(job_json())
    (folder / "other.json").write_bytes(job_json(name="other"))
    (folder / "typo.json").write_bytes(job_json(tasks={"train": {"component": "homo_lrr@1"}}))
    (folder / "broken.json").write_text('{"schema": ')
    (folder / "good.csv").write_text("id,y,x\n1,0,0.5\n2,1,0.25\n3,0,1.5\n")
    (folder / "bad.csv").write_text("id,y,x\n1,0,0.5\n2,1\n")
    (folder / "files").mkdir()
    for file in (folder / "twice.csv", folder / "files" / "twice.csv"):
        file.write_text("id,x,x\n1,2,3\n")
    (folder / "twice.json").write_text('{"schema": 1,\n "name": "a",\n "name": "b"}')
    (folder / "none.json").write_text("null")
    (folder / "token").write_text("arch_wrong\n")
    party.service.would = WOULD
    old = CleanedJob(job="01M8A", name="old", ended_ms=1, log_lines=12, checkpoints=True, checkpoint_bytes=2048)
    old = old.model_copy(
        update={"outputs": ("x", "y"), "output_bytes": 2048, "stays": ("what it made, which job 01M8B uses",)}
    )
    new = CleanedJob(job="01M8B", name="new", ended_ms=1, checkpoints=True, checkpoint_bytes=1100)
    far = CleanedJob(job="01M8C", name="far", ended_ms=1, checkpoints=True, outputs=("x",))
    party.service.cleaned = [(old,), (new, far)]
    flow, job = Command(party), ""
    for step in steps((FOLDER / f"{name}.txt").read_text()):
        kind, *words = shlex.split(step.line.replace("<JOB>", job))
        if kind == "@":
            if words[0] == "begin":
                party.service.move(job, JobState.RUNNING)
            elif words[0] == "wait":
                party.cluster.places = [*RUNS, WAITS.model_copy(update={"job": job})]
            elif words[0] == "refuse":
                party.service.by_policy.add(job)
            else:
                party.service.play(job, rounds=2)
            continue
        done = flow(*words[1:])
        matched = re.fullmatch(pattern(step.out, job), plain(done.out))
        assert matched, f"{step.line}\n{done.out}{done.err}"
        assert re.fullmatch(pattern(step.err, job), plain(done.err)), f"{step.line}\n{done.err}"
        assert done.code == step.code, step.line
        job = job or matched.groupdict().get("JOB") or ""
