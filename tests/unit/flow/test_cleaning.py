from __future__ import annotations

from typing import Any

import pytest

from flow.cleaning import Kept, decide, users
from storage.client import KeptFiles

OLD, NEW = "01M84NKVCS9025W7T6P1XBY3P8", "01M84NKVCS9025W7T6P1XBY3P9"
MADE = ("job-01m84nkvcs9025w7t6p1xby3p8/scale-data@1", f"{OLD}/train.model")


@pytest.mark.parametrize(
    ("changes", "outputs", "gone", "stays"),
    [
        pytest.param({}, False, (7, 50, 0), 0, id="lines and checkpoints"),
        pytest.param({}, True, (7, 50, 900), 0, id="what it made as well, if asked"),
        pytest.param({"using": NEW}, True, (7, 50, 0), 1, id="not what another job uses"),
        pytest.param({"going_on": True}, True, (7, 0, 900), 1, id="not the checkpoints that another job needs"),
        pytest.param({"using": NEW, "files": KeptFiles(True, 50, 0, ())}, True, (7, 50, 0), 0, id="nothing was made"),
        pytest.param({"going_on": True, "files": KeptFiles(False, 0, 0, ())}, True, (7, 0, 0), 0, id="no checkpoints"),
    ],
)
def test_what_goes_of_a_job_and_what_stays(
    changes: dict[str, Any], outputs: bool, gone: tuple[int, int, int], stays: int
) -> None:
    facts = {"files": KeptFiles(True, 50, 900, MADE), "going_on": False, "using": "", **changes}
    found = decide(Kept(OLD, "old", 1, 7, **facts), outputs=outputs)
    assert (found.log_lines, found.checkpoint_bytes, found.output_bytes) == gone
    assert bool(found.outputs) == bool(gone[2])
    assert len(found.stays) == stays


def test_what_a_store_elsewhere_keeps_is_deleted_though_its_bytes_are_not_known() -> None:
    found = decide(Kept(OLD, "old", 1, 0, KeptFiles(True, 0, 0, ()), going_on=False, using=""), outputs=False)
    assert found.checkpoints
    assert found.is_something


@pytest.mark.parametrize("named", [f"job:{OLD}/train.model", f"job-{OLD.lower()}/scale-data@1"])
def test_a_job_uses_what_its_document_names(named: str) -> None:
    assert users([(NEW, f'{{"inputs": {{"model": "{named}"}}}}')]) == {OLD: NEW}
    assert users([(OLD, f'{{"inputs": {{"model": "{named}"}}}}'), (NEW, "{}")]) == {}
