"""`flow job run --local`: a job in one process, on files, without any party."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from safetensors.numpy import load_file

from algorithms.api.context import Context
from algorithms.local_run import LocalSettings, run_local
from algorithms.registry import component
from flow.cli.app import app
from flow.cli.exit_codes import Exit
from flow.cli.job import local_run
from flow.cli.job.example import JOB, write_example
from flow.client import LogRow
from flow.local.job import job_to_run
from flow.local.run import LocalRun
from flow.protocol.manifest import job_seed, task_seed
from gateway.client import LocalExchange
from party.ids import Address, Role
from storage.client import SourceOptions, Store, TableRoles, TableStore, read_model_file
from tests.fakes.clock import FakeClock
from tests.integration.flow_edges.conftest import Done

FILES = ("--data", "loans/train=loans_a.csv", "--data", "bank-b:loans/train=loans_b.csv")
TEST = ("--data", "loans/test=loans_test.csv")
COLUMNS = ("--id", "customer", "--label", "defaulted")
PLAIN = {"rounds": 2, "local": {"learning_rate": 0.15, "batch_size": 64}}


def flow(*words: object) -> Done:
    """`flow job run --local` in this process, with no party anywhere."""
    typed = ["job", "run", "--local", *map(str, words)]
    result = typer.testing.CliRunner().invoke(app, typed, env={"COLUMNS": "200"}, catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def loans(folder: Path) -> Path:
    """The example's files, and its job in the clear, with two rounds and a seed."""
    write_example(folder)
    tasks = JOB["tasks"] | {
        "scale": JOB["tasks"]["scale"] | {"parameters": {"protection": {"kind": "plain"}}},
        "train": JOB["tasks"]["train"] | {"parameters": PLAIN},
    }
    (folder / "job.json").write_text(json.dumps(JOB | {"settings": {"seed": 7}, "tasks": tasks}))
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    job = json.loads((folder / "job.json").read_text())
    change(job)
    (folder / "job.json").write_text(json.dumps(job))


def only(folder: Path, name: str, **task: object) -> None:
    """The job has one task."""
    changed(folder, lambda job: job.update(tasks={name: task}))


def of_train(folder: Path) -> None:
    """The job trains on what was uploaded, and that is all."""
    only(folder, "train", component="homo_lr@1", inputs={"train": "loans/train"}, parameters=PLAIN)


def test_a_whole_job_runs_and_its_results_lie_in_a_folder_for_each_party(loans: Path) -> None:
    done = flow("job.json", *FILES, *TEST, *COLUMNS)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].endswith("  loans")
    assert any(line.startswith("train: round 2  loss ") for line in lines)
    assert "predict: succeeded" in lines
    assert lines[-2].startswith("job succeeded after ")
    out = loans / "loans-local"
    assert lines[-1] == f"Wrote {sum(file.is_file() for file in out.rglob('*'))} files to loans-local."
    assert {file.name for file in out.iterdir()} == {"bank-a", "bank-b", "job.json", "metrics.csv", "logs.csv"}
    assert {file.name for file in (out / "bank-b").iterdir()} == {
        "scale.data.csv", "scale.model.safetensors", "train.model.safetensors",
    }  # fmt: skip
    assert load_file(out / "bank-a" / "train.model.safetensors")["weights"].shape == (4,)
    assert len(list(csv.DictReader((out / "bank-a" / "predict.predictions.csv").open()))) == 150
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert {row["task"] for row in rows} >= {"train", "evaluate"}
    assert json.loads((out / "job.json").read_text())["settings"]["seed"] == 7


def test_the_model_is_that_of_the_seed_of_the_job(loans: Path, tmp_path: Path) -> None:
    of_train(loans)
    assert flow("job.json", *FILES, *COLUMNS, "--out", "first").code == 0
    changed(loans, lambda job: job["settings"].update(seed=8))
    assert flow("job.json", *FILES, *COLUMNS, "--out", "other").code == 0
    store = TableStore(tmp_path / "tables")
    parties = {Address.parse("arbiter:referee"): {}}
    for letter, role in (("a", Role.GUEST), ("b", Role.HOST)):
        how = SourceOptions(roles=TableRoles(id="customer", label="defaulted"))
        store.upload(loans / f"loans_{letter}.csv", f"{letter}/x", options=how)
        parties[Address.parse(f"{role}:bank-{letter}")] = {"train": store.open(f"{letter}/x")}
    seed = bytes.fromhex(task_seed(job_seed(7), "train"))
    expected = run_local(component("homo_lr"), PLAIN, parties, LocalExchange(), LocalSettings(seed=seed))
    models = {
        name: read_model_file(loans / name / "bank-a" / "train.model.safetensors").digest()
        for name in ("first", "other")
    }
    assert models["first"] == expected.model(Address.parse("guest:bank-a")).digest()
    assert models["other"] != models["first"]


def test_a_drawn_seed_is_told_and_repeats_the_run(loans: Path) -> None:
    of_train(loans)
    changed(loans, lambda job: job["settings"].pop("seed"))
    drawn = flow("job.json", *FILES, *COLUMNS, "--out", "drawn")
    seed = json.loads((loans / "drawn" / "job.json").read_text())["settings"]["seed"]
    assert f"this run draws {seed}" in drawn.err
    assert flow("drawn/job.json", *FILES, *COLUMNS, "--out", "again").code == 0
    model = Path("bank-a") / "train.model.safetensors"
    assert (loans / "drawn" / model).read_bytes() == (loans / "again" / model).read_bytes()


def test_a_machine_reads_the_records_of_a_watched_job(loans: Path) -> None:
    of_train(loans)
    done = flow("job.json", *FILES, *COLUMNS, "--json")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert records[0]["job"]["state"] == "running"
    assert {record["kind"] for record in records} == {"job", "event", "metric", "file"}
    last = [record["job"] for record in records if record["kind"] == "job"][-1]
    assert (last["state"], last["tasks_done"], last["tasks"][0]["state"]) == ("succeeded", 1, "succeeded")
    assert {record["metric"]["party"] for record in records if record["kind"] == "metric"} == {"bank-a", "bank-b"}
    files = [record["file"]["file"] for record in records if record["kind"] == "file"]
    assert files[0] == "loans-local/bank-a/train.model.safetensors"
    assert all(Path(file).is_file() for file in files)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda job: job["tasks"]["train"]["parameters"].update(roundz=3),
            "job.json: tasks.train.parameters.roundz: this key is not known; did you mean 'rounds'?",
        ),
        (
            lambda job: job["tasks"]["train"]["inputs"].update(model="job:01M84NKVCS9025W7T6P1XBY3P8/train.model"),
            "job.json: tasks.train.inputs.model: 'job:01M84NKVCS9025W7T6P1XBY3P8/train.model' was made by another job "
            "and lies at its parties; run it at its parties: flow job submit.",
        ),
        (
            lambda job: job["settings"].update(resume="01M84NKVCS9025W7T6P1XBY3P8"),
            "job.json: settings.resume: the checkpoints of another job lie at its parties; run it at its parties: flow "
            "job submit.",
        ),
    ],
    ids=["parameter", "another job's output", "resume"],
)
def test_a_job_that_cannot_run_here_is_refused_before_anything_is_read(
    loans: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    of_train(loans)
    changed(loans, change)
    done = flow("job.json", "--data", "loans/train=nowhere.csv")
    assert (done.code, done.out) == (Exit.BAD_INPUT, "")
    assert done.err == says + "\n"
    assert not (loans / "loans-local").exists()


def test_a_table_without_a_file_is_told_with_what_to_type(loans: Path) -> None:
    of_train(loans)
    done = flow("job.json", "--data", "bank-a:loans/train=loans_a.csv", *COLUMNS)
    assert done.code == Exit.BAD_INPUT
    assert done.err == (
        "job.json: tasks.train.inputs.train: no file is given for loans/train of bank-b; add --data loans/train=FILE, "
        "or --data bank-b:loans/train=FILE for bank-b alone.\n"
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("loans/train", "does not name a table and its file"),
        ("loans=loans_a.csv", "does not name a table and its file"),
        ("loans/trian=loans_a.csv", "no task of the job reads it; did you mean 'loans/train'?"),
        ("bank-c:loans/train=loans_a.csv", "no task of the job reads it; did you mean 'bank-"),
        ("loans/train=loans_a.csv", "is given twice"),
        ("bank-b:loans/train=nowhere.csv", "The file nowhere.csv does not exist"),
        ("bank-b:loans/train=loans_b.csv,drop=agee", "'agee'"),
        ("bank-b:loans/train=loans_b.csv,type=age=number", "does not give a column its type"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(loans: Path, data: str, says: str) -> None:
    of_train(loans)
    done = flow("job.json", "--data", "loans/train=loans_a.csv", "--data", data, *COLUMNS)
    assert done.code in (Exit.BAD_INPUT, Exit.NOT_FOUND)
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not (loans / "loans-local").exists()


def test_each_file_is_read_as_it_is_written(loans: Path) -> None:
    of_train(loans)
    text = (loans / "loans_b.csv").read_text().replace(",", ";").replace("customer", "Kunde").encode("utf-16")
    (loans / "b.txt").write_bytes(text)
    b = "bank-b:loans/train=b.txt,id=Kunde,encoding=utf-16,delimiter=;,drop=age,format=csv"
    a = "bank-a:loans/train=loans_a.csv,drop=age"
    assert flow("job.json", "--data", a, "--data", b, *COLUMNS).code == 0
    model = read_model_file(loans / "loans-local" / "bank-b" / "train.model.safetensors")
    assert model.details["features"] == ["income", "debt", "years_employed"]


def test_a_task_that_fails_ends_the_job_with_the_error_of_its_executor(loans: Path) -> None:
    done = flow("job.json", *FILES, *TEST, "--id", "customer")
    assert done.code == Exit.JOB_FAILED
    assert "train: attempt 1 failed" in done.out
    (error,) = [line for line in done.out.splitlines() if line.startswith(("guest:bank-a: ", "host:bank-b: "))]
    assert error.endswith(
        ": Table 'scale.data' (input 'train' of task 'train') has no label column. "
        "Upload it again with `--label COLUMN`. [algorithms.labels_not_binary]"
    )
    assert "Traceback" not in done.err + done.out, "it is a fault of the data, not of the code"
    out = loans / "loans-local"
    assert (out / "bank-a" / "scale.model.safetensors").is_file()
    assert not (out / "bank-a" / "train.model.safetensors").exists()


@pytest.fixture
def guest_of_noop(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Context, Any], None]], None]:
    """Lets the guest of noop@1 do something else."""

    def play(run: Callable[[Context, Any], None]) -> None:
        noop = component("noop")
        made = replace(noop, roles={**noop.roles, Role.GUEST: replace(noop.roles[Role.GUEST], run=run)})
        monkeypatch.setattr("flow.cli.job.local_run.component", lambda _: made)

    return play


def crash(_ctx: Context, _parameters: Any) -> None:
    raise RuntimeError("row 17 is canary")


def say_what_is_not_declared(ctx: Context, _parameters: Any) -> None:
    ctx.channel.broadcast(ctx.peers(Role.ARBITER), "rows", 0, 17)


def say_too_much(ctx: Context, _parameters: Any) -> None:
    ctx.channel.broadcast(ctx.peers(Role.ARBITER), "ping", 0, "seventeen")


def make_what_is_not_declared(ctx: Context, _parameters: Any) -> None:
    ctx.outputs.save_report("surprise", "surprise", 1, {})


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (crash, "guest:bank-a: The executor of guest:bank-a crashed with RuntimeError."),
        (
            say_what_is_not_declared,
            "guest:bank-a: Task 'greet': tag 'rows' is not in the conversation of its component.",
        ),
        (say_too_much, "guest:bank-a: Tag 'ping': a value of kind text instead of int."),
        (make_what_is_not_declared, "left the report 'surprise', which its component does not declare."),
    ],
)
def test_what_a_party_would_refuse_is_refused_here(
    loans: Path,
    guest_of_noop: Callable[[Callable[[Context, Any], None]], None],
    run: Callable[[Context, Any], None],
    says: str,
) -> None:
    only(loans, "greet", component="noop@1", parameters={"rounds": 0})
    guest_of_noop(run)
    done = flow("job.json")
    assert done.code == Exit.JOB_FAILED
    assert "greet: attempt 1 failed" in done.out
    assert says in done.out


def test_results_that_are_there_are_left_alone_unless_told_otherwise(loans: Path) -> None:
    only(loans, "greet", component="noop@1")
    assert flow("job.json", "--out", "mine").code == 0
    again = flow("job.json", "--out", "mine")
    assert (again.code, again.out) == (Exit.CONFLICT, "")
    assert "mine is there already" in again.err
    assert flow("job.json", "--out", "mine", "--overwrite").code == 0


def test_without_the_word_local_the_parties_are_pointed_at() -> None:
    result = typer.testing.CliRunner().invoke(app, ["job", "run", "job.json"])
    assert result.exit_code == Exit.BAD_INPUT
    assert "--local" in result.stderr


def test_a_run_that_is_left_ends_its_threads(
    tmp_path: Path, guest_of_noop: Callable[[Callable[[Context, Any], None]], None]
) -> None:
    def wait_for_ever(ctx: Context, _parameters: Any) -> None:
        ctx.events.log("info", "I wait.")
        ctx.channel.gather(ctx.peers(Role.ARBITER), "pong", 0)

    guest_of_noop(wait_for_ever)
    spec = {"schema": 1, "name": "x", "initiator": "bank-a", "roles": {"guest": ["bank-a"], "arbiter": ["referee"]}}
    spec |= {"tasks": {"greet": {"component": "noop@1", "parameters": {"rounds": 0}}}}
    job = job_to_run(json.dumps(spec).encode(), local_run.component)
    stores = {party: Store(tmp_path / party) for party in job.spec.parties}
    records = LocalRun(job, stores, {}, job_seed(1), FakeClock()).records()
    while not isinstance(next(records), LogRow):
        pass
    records.close()  # as Ctrl-C does: it comes back once both have ended
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
