"""Taking the outputs of a job away from its page."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load

from party.ids import Address, AttemptId, JobId, TaskName
from storage.client import NO_ROLES, Model, OutputKind
from tests.fakes.flow_party import FakeParty, job_json
from tests.integration.board.conftest import Browser

DECLARED = {"guest:hospital-a": {"model": OutputKind.MODEL, "roc": OutputKind.REPORT, "scores": OutputKind.TABLE}}


@pytest.fixture
def job(party: FakeParty) -> str:
    name = party.client.submit(job_json())
    staged = party.store.staging.outputs(
        AttemptId(JobId(name), TaskName("train"), 1), Address.parse("guest:hospital-a")
    )
    staged.save_model("model", Model("linear", 1, {"weights": np.ones(2)}, {"features": ["a", "b"]}))
    staged.save_report("roc", "roc", 1, {"fpr": [0.0, 1.0]})
    with staged.table_writer("scores", pa.schema({"id": pa.string()}), NO_ROLES) as writer:
        writer.write(pa.table({"id": ["x", "y"]}))
    for each in party.store.staging.publish(name, "train", 1, DECLARED):
        party.service.output(name, "train", "hospital-a", each.output, str(each.kind), each.reference)
    party.service.output(name, "train", "hospital-b", "model", "model", f"{name}/train.model")
    return name


def test_what_a_job_made_here_can_be_taken_from_its_page(browser: Browser, job: str) -> None:
    page = browser.get(f"/jobs/{job}").text
    at = f"/jobs/{job}/outputs/train"
    for link in (f"{at}/model/guest", f"{at}/roc/guest", f"{at}/scores/guest?format=parquet"):
        assert f'href="{link}"' in page
    assert "stays there" in page
    model = browser.get(f"{at}/model/guest")
    assert model.headers["content-disposition"] == 'attachment; filename="train.model.safetensors"'
    np.testing.assert_array_equal(load(model.content)["weights"], np.ones(2))
    assert browser.get(f"{at}/scores/guest").text == '"id"\n"x"\n"y"\n'
    assert json.loads(browser.get(f"{at}/roc/guest").text)["body"] == {"fpr": [0.0, 1.0]}


def test_what_is_not_there_is_told(browser: Browser, job: str) -> None:
    for path in ("train/model/host", "other/model/guest", "train/nothing/guest"):
        assert browser.get(f"/jobs/{job}/outputs/{path}").status_code == 404


def test_nobody_takes_anything_without_a_login(stranger: Browser, job: str) -> None:
    assert stranger.get(f"/jobs/{job}/outputs/train/model/guest").status_code == 303
