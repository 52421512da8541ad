"""The archive for a bug report holds what helps and nothing that should stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow.job.states import AttemptState, JobState
from flow.views.bundle import STEP, Found, bundle
from flow.views.history import Past, history
from flow.views.jobs import (
    AttemptView,
    ErrorView,
    EventRow,
    JobView,
    LogRow,
    NoteView,
    PartyView,
    ProposalView,
    ProposedInput,
    SideView,
    TaskView,
)
from flow.views.party import PartyStatus, RoomView
from party.settings import PartySettings
from runtime.clock import HybridTime

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
VALUE, NOTE, HOME, ELSEWHERE = "3.14159 of patient 77", "Call Bob at home.", "/srv/archipelago/a", "/mnt/keys/db.url"
SECRETS = (VALUE, NOTE, HOME, ELSEWHERE, "hook.example", "9870")
BAD = ErrorView(code="algorithms.bad_labels", message=f"a label is {VALUE}", hint=VALUE, party="a")


def event(number: int, kind: str, **body: Any) -> EventRow:
    return EventRow(id=number, hlc=str(HybridTime(number, 0)), kind=kind, job=JOB, body=body)


def found() -> Found:
    """A job that failed, with data and secrets wherever words may stand."""
    side = SideView(address="guest:a", party="a", role="guest", state=AttemptState.FAILED, error=BAD)
    tried = AttemptView(attempt=1, state=AttemptState.FAILED, created_ms=1, error=BAD, sides=(side,))
    job = JobView(
        id=JOB, name="n", initiator="a", user="ann", state=JobState.FAILED, submitted_ms=1, ended_ms=2, error=BAD,
        own_error=BAD, spec={"tasks": {"train": {"inputs": {"train": "breast/train"}}}},
        parties=(PartyView(party="a", roles=("guest",), decision="agree", by="ann", note=NOTE),),
        tasks=(TaskView(name="train", component="homo_lr@1", state="failed", attempts=(tried,)),),
        notes=(NoteView(user="ann", text=NOTE, at_ms=1),),
    )  # fmt: skip
    events = (
        event(1, "party.agree", user="ann", note=NOTE),
        event(2, "job.failed", error=BAD.model_dump()),
        event(3, "party.absent", code="gateway.peer_unreachable"),
    )
    lines = [
        "homo_lr@1 begins as guest:a, attempt 1", "input train: breast/train@4, 569 rows, 31 columns",
        f"label {VALUE}", f"input x: {VALUE}", "homo_lr@1 ended after 3.2 s",
    ]  # fmt: skip
    proposal = ProposalView(
        job=JOB, name="n", initiator="a", user="ann", submitted_ms=1, party="a", roles={}, components={}, waits=False,
        note=NOTE, inputs=(ProposedInput(task="t", address="guest:a", input="x", kind="table", name="n/t", rows=9870),),
    )  # fmt: skip
    settings = {
        "party": "a", "flow": {"listen": "127.0.0.1:1", "database": "mysql", "database_url_file": ELSEWHERE},
        "store": {"uri": HOME}, "hook": {"url": "https://hook.example/x"}, "node": {"cores": 4},
    }  # fmt: skip
    return Found(
        job=job,
        why=(f"The disk of {HOME}/store is full.",),
        history=history({"a": Past(events)}, 1 << 43),
        logs=tuple(
            LogRow(
                id=i, task="train", attempt=1, party="a", role="guest", incarnation=1, sequence=i, at_ms=1,
                level="info", text=text,
            )
            for i, text in enumerate(lines)
        ),
        proposal=proposal,
        status=PartyStatus(
            party="a",
            healthy=False,
            user="ann",
            rooms=(RoomView(room="database", state="down", text=f"{ELSEWHERE} is gone."),),
        ),
        settings=settings,
    )  # fmt: skip


def test_no_value_note_path_or_secret_is_in_it() -> None:
    whole = "\n".join(bundle(found(), {HOME: "HOME"}, with_logs=False).values())
    assert [secret for secret in SECRETS if secret in whole] == []


def test_what_helps_is_in_it() -> None:
    files = bundle(found(), {HOME: "HOME"}, with_logs=False)
    assert json.loads(files["job.json"]) == found().job.spec
    assert files["log.txt"].count("\n") == 3
    assert "algorithms.bad_labels" in files["show.json"]
    assert "algorithms.bad_labels" in files["history.txt"]
    assert "gateway.peer_unreachable" in files["history.txt"]
    assert files["why.txt"] == "The disk of HOME/store is full.\n"
    assert json.loads(files["settings.json"]) == {"flow": {"database": "mysql"}, "node": {"cores": 4}}


@pytest.mark.parametrize("with_logs", [False, True])
def test_the_readme_stands_first_lists_every_file_and_says_whether_logs_are_in(with_logs: bool) -> None:
    name, *others = (files := bundle(found(), {}, with_logs=with_logs))
    assert name == "README.txt"
    assert [other for other in others if f"\n{other}" not in files[name]] == []
    assert ("THEY MAY HOLD DATA" in files[name]) is with_logs
    assert (VALUE in files["log.txt"]) is with_logs


def test_settings_that_are_kept_are_settings_that_there_are() -> None:
    from flow.views.bundle import _KEPT_SETTINGS

    for section, names in _KEPT_SETTINGS.items():
        kind = PartySettings.model_fields[section].annotation
        assert set(names) <= set(kind.model_fields)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "is_step"),
    [
        ("homo_lr@1 begins as guest:bank-a, attempt 2", True),
        ("output model: model 01M84NKVCS9025W7T6P1XBY3P8/train.model", True),
        ("input model: 01M84NKVCS9025W7T6P1XBY3P8/train.model, of kind linear", True),
        ("input train: 3.14", False),
        ("homo_lr@1 begins as guest:bank-a, attempt 2\nrow 7", False),
        ("homo_lr@1 begins with row 7", False),
    ],
)
def test_a_main_step_is_a_line_as_the_platform_writes_it(text: str, is_step: bool) -> None:
    assert (STEP.fullmatch(text) is not None) is is_step
