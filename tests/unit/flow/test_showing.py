from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from algorithms.registry import component
from flow.agreement import Knowledge, decide
from flow.bindings import BoundJob, bind
from flow.cli.proposal_text import proposal_lines
from flow.job_spec import parse_job
from flow.messages import Decision, Proposal
from flow.policy import ModelFacts, Policy, TableFacts
from flow.showing import UNSAID, shown
from flow.views import ProposalView
from party.errors import NotFound
from tests.unit.flow.test_agreement import JOB, NOW

KEY = f"{JOB}/train.model"


def view(secure: str = "paillier", table: Any = None, source: Any = component, **task: Any) -> ProposalView:
    """A training of `a` and `b`, added up by `c`, as `b` sees it."""
    document = {
        "schema": 1,
        "name": "breast",
        "initiator": "a",
        "roles": {"guest": ["a"], "host": ["b"], "arbiter": ["c"]},
        "tasks": {
            "train": {
                "component": "homo_lr@1",
                "inputs": {"train": "breast/train", "model": f"job:{JOB}/train.model"},
                "parameters": {"rounds": 3, "secure": secure, "b": {"learning_rate": 0.5}},
            }
        },
    }
    document["tasks"]["train"] |= task  # type: ignore[index]
    spec = parse_job(json.dumps(document).encode())
    made = Proposal(
        job=JOB, initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={"homo_lr@1": component("homo_lr").code_digest}, submitted_ms=1,
    )  # fmt: skip
    facts = table or TableFacts("breast/train@4", rows=569)
    models = {KEY: ModelFacts(KEY, holders=frozenset("ab"))}
    policy = Policy(accept=Decision.AGREE)
    know = Knowledge("b", policy, NOW, {"breast/train": facts}, models)
    job = BoundJob(spec, *bind(spec, source))
    return shown(made, job, know, decide(made, job, know), waits=True)


def test_a_person_sees_the_own_tables_with_their_rows_and_who_holds_the_model() -> None:
    table, model = view().inputs
    assert (table.name, table.reference, table.rows, table.address) == ("breast/train", "breast/train@4", 569, "host:b")
    assert (model.reference, model.holders) == (KEY, ("a", "b"))
    missing = view(table=NotFound("There is no table 'breast/train'.", hint="Did you mean 'breast/test'?"))
    assert missing.inputs[0].problem == "There is no table 'breast/train'. Did you mean 'breast/test'?"
    assert missing.reasons == (
        "tasks.train.inputs.train: There is no table 'breast/train'. Did you mean 'breast/test'?",
    )


def test_a_person_sees_which_parameters_are_not_the_usual_ones_and_where() -> None:
    found = {(p.name, p.address): (p.value, p.default) for p in view().parameters}
    assert found == {
        ("rounds", ""): (3, 20),
        ("secure", ""): ("paillier", "plain"),
        ("learning_rate", "host:b"): (0.5, 0.15),
    }


def test_a_person_sees_every_line_with_who_says_it_to_whom_and_how_it_is_protected() -> None:
    lines = {line.tag: line for line in view().conversation}
    spoken = component("homo_lr").conversation(component("homo_lr").parameters.model_validate({"secure": "paillier"}))
    assert set(lines) == {line.tag for line in spoken}
    update = lines["update"]
    assert (update.senders, update.receivers) == (("guest:a", "host:b"), ("arbiter:c",))
    assert (update.protection, update.we) == ("encrypted", "send")
    assert "cannot read it" in update.means
    plain = {line.tag: line for line in view("plain").conversation}["update"]
    assert (plain.protection, plain.means) == ("plain", "the receiver reads it")


def test_a_person_sees_who_learns_what_and_what_two_trainers_mean() -> None:
    learned = {item.role: item for item in view().learns}
    assert learned["arbiter"].parties == ("c",)
    assert "encrypted" in learned["arbiter"].says
    assert "in the clear" in {item.role: item for item in view("plain").learns}["arbiter"].says
    assert "with 2 trainers" in view().warnings[0]


def test_a_component_that_does_not_say_who_learns_what_is_shown_as_such() -> None:
    silent = view(source=lambda name: replace(component(name), learns=None))
    assert {item.says for item in silent.learns} == {UNSAID}


def test_a_job_that_would_be_refused_says_so_before_a_person_agrees() -> None:
    assert any("asks for 'masked' protection" in reason for reason in view("plain").reasons)
    assert view().reasons == ()


def test_the_text_for_the_terminal_holds_all_of_it() -> None:
    text = "\n".join(proposal_lines(view()))
    for part in (
        "proposed by ann of a",
        "train.train (host:b): table breast/train = breast/train@4, 569 rows",
        f"model job:{JOB}/train.model = {KEY}, held by a, b",
        'train: secure = "paillier" (default "plain")',
        "train: learning_rate = 0.5 (default 0.15) at host:b",
        "guest:a, host:b → arbiter:c: ",
        "[encrypted: the receiver cannot read it",
        "train: arbiter (c): Of rows: how many rows each trainer has",
        "with 2 trainers a sum reveals",
        f"flow job approve {JOB}",
    ):
        assert part in text, part
