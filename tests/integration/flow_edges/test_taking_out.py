"""Taking results out of a party: tables, models, reports, metrics and lines, by command and by REST."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet
from safetensors.numpy import load_file

from flow.cli.exit_codes import Exit
from flow.client import FlowClient, FlowUnreachable
from party.ids import Address, AttemptId, JobId, TaskName, new_job_id
from runtime.errors import Denied
from storage.client import NO_ROLES, Model, ModelNotFound, OutputKind
from tests.fakes.flow_party import FakeParty, job_json
from tests.integration.flow_edges.conftest import Command

MODEL = Model("linear", 1, {"weights": np.array([0.5, -2.0]), "bias": np.zeros(1)}, {"features": ["age", "debt"]})
SCORES = pa.table({"id": ["a", "b"], "score": [0.25, float("nan")]})

DECLARED = {"guest:hospital-a": {"model": OutputKind.MODEL, "roc": OutputKind.REPORT, "scores": OutputKind.TABLE}}


@pytest.fixture
def job(party: FakeParty) -> str:
    """A job that has made a model, a table and a report at this party."""
    name = party.client.submit(job_json())
    party.service.play(name, rounds=2)
    party.service._outputs.pop(name)
    attempt = AttemptId(JobId(name), TaskName("train"), 1)
    staged = party.store.staging.outputs(attempt, Address.parse("guest:hospital-a"))
    staged.save_model("model", MODEL)
    staged.save_report("roc", "roc", 1, {"fpr": [0.0, 1.0]})
    with staged.table_writer("scores", SCORES.schema, NO_ROLES) as writer:
        writer.write(SCORES)
    for each in party.store.staging.publish(name, "train", 1, DECLARED):
        party.service.output(name, "train", "hospital-a", each.output, str(each.kind), each.reference, each.digest)
    party.service.output(name, "train", "hospital-b", "model", "model", f"{name}/train.model")
    return name


def test_everything_that_a_job_made_here_lands_in_a_folder(
    party: FakeParty, flow: Command, folder: Path, job: str
) -> None:
    done = flow("job", "outputs", job, "--get", "out/of/it", "--tables", "parquet")
    assert done.code == 0, done.err
    names = {"train.model.safetensors", "train.roc.json", "train.scores.parquet", "job.json", "metrics.csv", "logs.csv"}
    out = folder / "out" / "of" / "it"
    assert {file.name for file in out.iterdir()} == names
    np.testing.assert_array_equal(load_file(out / "train.model.safetensors")["weights"], [0.5, -2.0])
    assert parquet.read_table(out / "train.scores.parquet")["id"].to_pylist() == ["a", "b"]
    assert json.loads((out / "train.roc.json").read_text())["body"] == {"fpr": [0.0, 1.0]}
    assert json.loads((out / "job.json").read_text())["name"] == "breast"
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert {row["name"] for row in rows} == {"loss", "accuracy", "auc"}
    assert next(iter(csv.DictReader((out / "logs.csv").open())))["text"] == "round 1 done"


def test_the_digest_of_every_output_is_told_whole_to_a_script(party: FakeParty, flow: Command, job: str) -> None:
    ours = {row["name"]: row for row in flow("job", "outputs", job, "--json").json() if row["party"] == "hospital-a"}
    assert ours["model"]["digest"] == MODEL.digest()
    assert ours["scores"]["digest"] == party.tables.manifest(ours["scores"]["reference"]).digest
    published = {each.output: each.digest for each in party.store.staging.publish(job, "train", 1, DECLARED)}
    assert ours["roc"]["digest"] == published["roc"]
    assert {len(row["digest"]) for row in ours.values()} == {64}


def test_numbers_that_are_not_finite_are_told_apart_from_missing_ones(party: FakeParty, flow: Command) -> None:
    values = pa.table({"x": [1.5, None, float("inf"), float("-inf"), float("nan")]})
    with party.tables.writer("odd/numbers", values.schema) as writer:
        writer.write(values)
    told = [1.5, None, "inf", "-inf", "nan"]
    assert [value for (value,) in party.client.head("odd/numbers").rows] == told
    assert [value for (value,) in flow("data", "head", "odd/numbers", "--json").json()["rows"]] == told
    assert flow("data", "head", "odd/numbers").out.split() == ["x", "1.5", "null", "inf", "-inf", "nan"]


def test_files_that_are_there_are_left_alone_unless_told_otherwise(flow: Command, folder: Path, job: str) -> None:
    (folder / "train.model.safetensors").write_text("mine")
    refused = flow("job", "outputs", job, "--get", ".")
    assert refused.code == Exit.CONFLICT
    assert "train.model.safetensors is there already" in refused.err
    assert (folder / "train.model.safetensors").read_text() == "mine"
    (folder / "train.model.safetensors").rename(folder / "logs.csv")
    assert flow("job", "outputs", job, "--get", ".").code == Exit.CONFLICT
    assert [file.name for file in folder.iterdir() if file.is_file()] == ["logs.csv"]
    assert flow("job", "outputs", job, "--get", ".", "--overwrite").code == 0
    assert load_file(folder / "train.model.safetensors").keys() == {"weights", "bias"}


def test_a_model_is_listed_shown_and_written(flow: Command, folder: Path, job: str) -> None:
    reference = f"{job}/train.model"
    listed = json.loads(flow("model", "list", "--json").out)
    assert [(m["reference"], m["digest"]) for m in listed if m["reference"] == reference] == [
        (reference, MODEL.digest())
    ]
    shown = flow("model", "show", reference).out
    assert 'features: ["age", "debt"]' in shown
    assert "weights" in shown
    assert flow("model", "export", reference, "--to", "m.safetensors").code == 0
    done = flow("model", "export", f"job:{reference}", "--to", "m.json", "--json")
    assert json.loads(done.out)["digest"] == MODEL.digest()
    assert json.loads((folder / "m.json").read_text())["arrays"]["weights"]["values"] == [0.5, -2.0]
    assert {file.name for file in folder.iterdir()} == {"m.safetensors", "m.json"}
    wrong = flow("model", "export", reference, "--to", "m.pickle")
    assert wrong.code == Exit.BAD_INPUT
    assert "m.safetensors, m.json" in wrong.err
    assert flow("model", "show", "nothing/here.model").code == Exit.NOT_FOUND
    assert flow("model", "export", reference, "--to", "no/such/place/m.json").code == 0


def test_a_table_is_written_whole_in_three_forms(flow: Command, folder: Path) -> None:
    (folder / "t.csv").write_text('id,Label,note\n1,0,"a\nb"\n2,1,\n')
    assert flow("data", "upload", "t.csv", "--table", "taken/t", "--id", "id").code == 0
    for form in ("csv", "parquet", "arrow"):
        assert flow("data", "export", "taken/t", "--to", f"out.{form}").code == 0
    assert (folder / "out.csv").read_text().splitlines()[0] == '"id","Label","note"'
    assert parquet.read_table(folder / "out.parquet").num_rows == 2
    assert ipc.open_file(folder / "out.arrow").read_all()["Label"].to_pylist() == [0, 1]
    head = flow("data", "head", "taken/t").out
    assert head.splitlines()[:2] == ["id  Label  note", " 1      0  a\\nb"]


def test_who_may_not_take_data_out_takes_none(party: FakeParty, job: str) -> None:
    table = f"job-{job.lower()}/train-scores"
    for role in ("operator", "officer", "auditor"):
        client = party.client_of(f"{role}-takes", role)
        for path in (f"tables/{table}/rows", f"models/{job}/train.model/file"):
            answer = httpx.get(f"{client.url}/v1/{path}", headers=client._headers())
            assert answer.status_code == 403, (role, path)
    answer = httpx.get(f"{party.client.url}/v1/tables/{table}/rows", headers=party.client._headers())
    assert answer.text == '"id","score"\n"a",0.25\n"b",nan\n'
    assert "attachment" in answer.headers["content-disposition"]


def test_a_file_that_breaks_off_leaves_nothing(party: FakeParty, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with party.store.tables.writer("taken/broken", pa.schema({"x": pa.float64()})) as writer:
        writer.write(pa.table({"x": np.arange(100.0)}))

    def breaks_off(*_: object) -> object:
        yield b"half of it"
        raise OSError("the disk went away")

    monkeypatch.setattr("flow.rest.routes.results.exported", breaks_off)
    with pytest.raises(FlowUnreachable):
        party.client.export_table("taken/broken", folder / "x.csv", "csv")
    assert list(folder.iterdir()) == []


RESULTS = ("train.model.safetensors", "train.roc.json", "train.scores.csv", "job.json", "metrics.csv", "logs.csv")


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_that_the_disk_refuses_is_named_and_nothing_is_left_of_it(
    flow: Command, folder: Path, job: str, name: str
) -> None:
    (folder / name).mkdir()  # a file cannot take a folder's place
    done = flow("job", "outputs", job, "--get", ".", "--overwrite")
    assert done.code == Exit.BAD_INPUT
    assert f"{name} cannot be written" in done.err
    assert {file.name for file in folder.iterdir()} <= set(RESULTS)


@pytest.mark.parametrize("name", ["m.json", "m.safetensors"])
def test_a_model_file_that_the_disk_refuses_is_named(flow: Command, folder: Path, job: str, name: str) -> None:
    (folder / name).mkdir()
    done = flow("model", "export", f"{job}/train.model", "--to", name, "--overwrite")
    assert done.code == Exit.BAD_INPUT
    assert f"{name} cannot be written" in done.err
    assert {file.name for file in folder.iterdir()} == {name}


def test_results_in_place_of_earlier_ones_are_whole_or_the_earlier_ones(
    flow: Command, folder: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "metrics.csv").write_text("earlier")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("csv.DictWriter.writerows", full)
    done = flow("job", "outputs", job, "--get", ".", "--overwrite")
    assert "metrics.csv cannot be written: No space left on device" in done.err
    assert (folder / "metrics.csv").read_text() == "earlier"


def statuses(party: FakeParty, client: FlowClient, *paths: str) -> list[int]:
    return [httpx.get(f"{party.client.url}/v1/{path}", headers=client._headers()).status_code for path in paths]


def test_what_a_colleagues_job_made_is_the_colleagues(party: FakeParty, job: str) -> None:
    table = f"job-{job.lower()}/train-scores"
    paths = [f"tables/{table}/rows", f"tables/{table}/head"]
    paths += [f"models/{written}/train.model/file" for written in (job, f"job:{job}", f"job%3A{job}", job.lower())]
    eve = party.client_of("eve-takes", "scientist")
    assert set(statuses(party, eve, *paths)) <= {403, 404}
    assert statuses(party, party.client, *paths[:4]) == [200] * 4
    party.client.delete(table)  # the own output may be deleted


def test_what_a_forgotten_job_made_is_taken_out_by_nobody(party: FakeParty, job: str) -> None:
    party.service._jobs.pop(job)
    paths = [f"tables/job-{job.lower()}/train-scores/rows", f"models/{job}/train.model/file"]
    assert statuses(party, party.client_of("eve-forgets", "scientist"), *paths) == [403, 403]


def test_what_another_partys_job_made_here_is_open_to_every_scientist(party: FakeParty, job: str) -> None:
    party.service.change(job, initiator="hospital-b")
    paths = [f"tables/job-{job.lower()}/train-scores/rows", f"models/{job}/train.model/file"]
    assert statuses(party, party.client_of("eve-shares", "scientist"), *paths) == [200, 200]


def test_a_table_that_a_job_made_shows_whose_it_is(party: FakeParty, flow: Command) -> None:
    owners = {
        party.client_of("maker", "scientist").submit(job_json()): "maker",
        party.client.submit(job_json(initiator="hospital-b")): "",
        str(new_job_id()): "?",
    }
    for job in owners:
        staged = party.store.staging.outputs(
            AttemptId(JobId(job), TaskName("train"), 1), Address.parse("guest:hospital-a")
        )
        with staged.table_writer("scores", SCORES.schema, NO_ROLES) as writer:
            writer.write(SCORES)
        party.store.staging.publish(job, "train", 1, DECLARED)
    shown = {table.name: table.owner for table in party.client.tables()}
    for job, owner in owners.items():
        name = f"job-{job.lower()}/train-scores"
        assert shown[name] == party.client.table(name).owner == owner


def test_a_model_is_deleted_by_its_owner_or_an_officer_and_by_nobody_else(
    party: FakeParty, flow: Command, job: str
) -> None:
    model = f"{job}/train.model"
    for who, *roles in (("del-eve", "scientist"), ("del-op", "operator"), ("del-aud", "auditor")):
        with pytest.raises(Denied, match="may not delete model"):
            party.client_of(who, *roles).delete_model(model)
    party.client_of("del-ann", "officer").delete_model(model)
    with pytest.raises(ModelNotFound):
        party.store.models.info(model)
    done = flow("model", "delete", model)
    assert done.code != 0
    assert f"no model '{model}'" in done.err.replace("\n", " ")
    party.store.models.save(model, MODEL, "guest")
    assert flow("model", "delete", model, "--json").json() == {"deleted": model}
    assert model not in flow("model", "list").out


def test_what_is_damaged_is_named_in_lists_and_can_be_deleted(party: FakeParty, flow: Command, job: str) -> None:
    store, root = party.store, Path(str(party.home.store))
    table = f"job-{job.lower()}/train-scores"
    (root / f"models/{job}/train.bad/guest").mkdir(parents=True)
    (root / f"models/{job}/train.bad/guest/model.json").write_text('{"schema":1,"kind":"spy"}')
    (root / f"tables/{table}/2.json").write_text('{"schema":1,"rows":' + "9" * 400 + "}")
    models, tables = flow("model", "list"), flow("data", "list")
    assert models.code == tables.code == 0
    assert f"{job}/train.model" in models.out
    assert f"{job}/train.bad cannot be read: " in models.out
    assert f"{table}@1" in tables.out
    assert f"{table}@2 cannot be read: " in tables.out
    shown = {view.reference: view.damaged for view in (*party.client.models(), *party.client.tables())}
    assert shown[f"{job}/train.bad"]
    assert shown[f"{table}@2"]
    assert not shown[f"{job}/train.model"]
    for done in (models, tables, flow("model", "show", f"{job}/train.bad"), flow("data", "show", f"{table}@2")):
        assert str(root) not in done.out + done.err
    assert flow("model", "delete", f"{job}/train.bad").code == flow("data", "delete", f"{table}@2").code == 0
    assert store.models.listing()[1] == store.tables.listing()[1] == []
