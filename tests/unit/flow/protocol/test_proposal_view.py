from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from algorithms.api.component import Component, Terms
from algorithms.homo.lr import HomoLRParameters
from algorithms.registry import component
from flow.cli.job.proposal_text import proposal_lines
from flow.job.binding import BoundJob, bind
from flow.job.spec import parse_job
from flow.protocol.agreement import decide
from flow.protocol.knowledge import Knowledge
from flow.protocol.manifest import OUR_API
from flow.protocol.messages import Decision, Proposal
from flow.protocol.policy import ModelFacts, Source, TableFacts
from flow.protocol.proposal_view import UNSAID, proposal_view
from flow.views.jobs import ProposalView
from party.settings import PolicySettings
from runtime.errors import NotFound
from storage.client import OF_HOLDERS, TableRoles, UsePolicy

NOW = datetime(2026, 5, 1, tzinfo=UTC)
JOB = "01M84NKVCS9025W7T6P1XBY3P8"
KEY = f"{JOB}/train.model"


def view(
    kind: str = "paillier",
    table: Any = None,
    source: Any = component,
    known: dict[str, Any] | None = None,
    **task: Any,
) -> ProposalView:
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
                "parameters": {"rounds": 3, "protection": {"kind": kind}, "b": {"local": {"learning_rate": 0.5}}},
            }
        },
    }
    document["tasks"]["train"] |= task  # type: ignore[index]
    spec = parse_job(json.dumps(document).encode())
    made = Proposal(
        job=JOB, initiator="a", user="ann", spec=spec.document(), spec_digest=spec.digest(), seed="0" * 64,
        code={"homo_lr@1": component("homo_lr").code_digest}, api=OUR_API, submitted_ms=1,
    )  # fmt: skip
    roles = TableRoles(id="patient", label="malignant")
    facts = {"breast/train": table or TableFacts("breast/train@4", rows=569, roles=roles)}
    models = {KEY: ModelFacts(KEY, holders=frozenset("ab"))}
    know = Knowledge("b", PolicySettings(accept=Decision.AGREE), NOW, facts, models)
    return seen(made, BoundJob(spec, *bind(spec, source)), replace(know, **known or {}))


def seen(made: Proposal, job: BoundJob, know: Knowledge) -> ProposalView:
    return proposal_view(made, job, know, decide(made, job, know), waits=True)


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
        ("protection.kind", ""): ("paillier", "plain"),
        ("local.learning_rate", "host:b"): (0.5, 0.15),
    }


def test_a_person_sees_every_line_with_who_says_it_to_whom_and_how_it_is_protected() -> None:
    lines = {line.tag: line for line in view().conversation}
    spoken = component("homo_lr").conversation(Terms(HomoLRParameters(protection={"kind": "paillier"})))
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
    silent = view(source=silent_component)
    assert {item.says for item in silent.learns} == {UNSAID}


def test_a_job_that_would_be_refused_says_so_before_a_person_agrees() -> None:
    assert any("asks for 'masked' protection" in reason for reason in view("plain").reasons)
    assert view().reasons == ()


def test_the_text_for_the_terminal_holds_all_of_it() -> None:
    text = "\n".join(proposal_lines(view()))
    for part in (
        "proposed by ann of a",
        "train.train (host:b): table breast/train = breast/train@4, 569 rows, id patient, label malignant",
        f"model job:{JOB}/train.model = {KEY}, held by a, b",
        'train: protection.kind = "paillier" (default "plain")',
        "train: local.learning_rate = 0.5 (default 0.15) at host:b",
        "guest:a, host:b → arbiter:c: ",
        "[encrypted: the receiver cannot read it",
        "train: arbiter (c): Of rows: how many rows each trainer has",
        "with 2 trainers a sum reveals",
        f"flow job approve {JOB} --digest {view().digest[:12]}",
    ):
        assert part in text, part


TABLE = TableFacts(
    "breast/train@4", 569, made_of=(Source("raw/x@1"), Source("raw/y@2")), use=UsePolicy(peers=("a", "c"))
)
LATER = NOW + timedelta(days=9)


def changes(rules: dict[str, Any], use: UsePolicy) -> dict[str, Any]:
    """The same, what a use policy says of them as one."""
    said = {name: value for name, value in rules.items() if name in UsePolicy.model_fields}
    return {name: value for name, value in rules.items() if name not in said} | {"use": use.model_copy(update=said)}


def by(**rules: Any) -> str:
    """The digest of a table with these rules."""
    return view(table=replace(TABLE, **changes(rules, TABLE.use))).digest


def of_policy(**rules: Any) -> str:
    return view(table=TABLE, known={"policy": PolicySettings(**rules)}).digest


def of_model(**rules: Any) -> str:
    return view(
        table=TABLE,
        known={"models": {KEY: ModelFacts(KEY, **({"holders": frozenset("ab")} | changes(rules, OF_HOLDERS)))}},
    ).digest


def test_the_digest_of_a_proposal_stays_as_long_as_nothing_that_is_decided_by_changes() -> None:
    same = by()
    assert len(same) == 64
    assert by() == same
    assert by(peers=("c", "a")) == same
    assert of_model(holders=frozenset("ba")) == same
    assert of_policy(accept=Decision.ASK) == of_policy() == same
    for known in ({"room": {"train": "64 cores wanted, the largest host has 2"}}, {"now": LATER}):
        later = view(table=TABLE, known=known)
        assert later.digest == same
    assert view(table=TABLE, known={"room": {"train": "no GPU"}}).reasons  # it is shown all the same


def test_the_digest_of_a_proposal_is_the_same_in_a_process_that_is_started_anew() -> None:
    words = "from tests.unit.flow.protocol.test_proposal_view import by; print(by())"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}  # sets have another order there
    done = subprocess.run([sys.executable, "-c", words], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == by()


def test_the_digest_of_a_proposal_changes_with_each_thing_that_is_decided_by() -> None:
    tables = [
        {}, {"reference": "breast/train@5"}, {"rows": 570}, {"owner": "eve"}, {"components": ("homo_lr",)},
        {"peers": ("a",)}, {"min_rows": 5}, {"expires": LATER}, {"expires": NOW}, {"users": ("eve",)},
        {"made_of": ()}, {"made_of": (Source("raw/x@1", use=UsePolicy(min_rows=7)),)},
    ]  # fmt: skip
    models = [
        {"peers": ("a",)}, {"holders": frozenset("abc")}, {"components": ("homo_lr",)}, {"expires": LATER},
        {"owner": "eve"}, {"users": ("eve",)}, {"made_of": (Source("raw/x@1"),)},
    ]  # fmt: skip
    policies = [
        {"components": ("homo_*",)}, {"peers": ("a", "c")}, {"share": ("logs",)}, {"min_rows": 2}, {"min_trainers": 1},
        {"min_protection": "encrypted"}, {"min_protection": {"homo_lr": "encrypted"}},
    ]  # fmt: skip
    resumed = view(table=TABLE, known={"resumed": {"train": (Source("raw/z@1"),)}}).digest
    found = [by(**r) for r in tables] + [of_model(**r) for r in models] + [of_policy(**r) for r in policies]
    found += [resumed, view("plain", TABLE).digest, view(table=TABLE, source=silent_component).digest]
    assert len(set(found)) == len(found)


def silent_component(name: str) -> Component:
    """A component that does not say who learns what."""
    found = component(name)
    return replace(found, roles={role: replace(spec, learns="") for role, spec in found.roles.items()})


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        (TableRoles(id="patient"), "no label column, which is needed"),
        (TableRoles(label="malignant", weight="w"), "a weight column, which would do nothing"),
    ],
)
def test_a_table_without_the_columns_that_an_input_needs_or_with_some_for_nothing_is_refused(
    roles: TableRoles, problem: str
) -> None:
    [reason] = view(table=TableFacts("breast/train@4", rows=569, roles=roles)).reasons
    assert reason.startswith(f"tasks.train.inputs.train: table breast/train has {problem} by host here.")


def test_an_earlier_model_of_another_kind_is_refused() -> None:
    facts = ModelFacts(KEY, holders=frozenset("ab"), kind="torch")
    [reason] = view(known={"models": {KEY: facts}}).reasons
    assert "this input takes a model of kind linear" in reason
