"""What parties tell each other of their tables and models before anything runs, and what follows for what is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from algorithms.api.component import Component, RoleSpec, Terms
from algorithms.api.conversation import MOST_BYTES, End, Line, Protection
from algorithms.registry import component
from flow.cli.job.proposal_text import proposal_lines
from flow.errors import ManifestMismatch
from flow.job.binding import BoundJob, BoundTask, bind
from flow.job.row_counts import told_places, unknown_rows, with_rows
from flow.job.spec import parse_job
from flow.participant.launch import Launch, contract_for, order_for
from flow.protocol.agreement import decide
from flow.protocol.exposure import who_sees
from flow.protocol.knowledge import Knowledge
from flow.protocol.manifest import OUR_API, make_manifest, settled
from flow.protocol.messages import Answer, BroughtTable, Decision, Manifest, Proposal, SignedAnswer
from flow.protocol.policy import ModelFacts, TableFacts
from flow.protocol.proposal_view import proposal_view
from flow.views.jobs import ProposalView
from node_manager.executor import main as executor
from party.ids import Address, AttemptId, JobId, Role, TaskName
from party.settings import PolicySettings
from storage.client import Kind, TableRoles
from tests.fakes import toy_vertical as toy

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
A, B, C = (Address.parse(text) for text in ("guest:a", "host:b", "host:c"))
ROWS = {A: 60, B: 61, C: 70}
SPLIT = {"component": "toy_split@1", "inputs": {"data": {"guest": "cut/labels", "host": "cut/columns"}}}
SCALE = {"component": "scale@1", "roles": ["host"], "inputs": {"data": "raw/columns"}}
AFTER = SPLIT | {"inputs": {"data": {"guest": "cut/labels", "host": "scale.data"}}}
EARLIER = {"component": "toy_predict@1", "inputs": {"model": f"job:{JOB}/split.model", "data": SPLIT["inputs"]["data"]}}


def find(reference: str, **changed: Component) -> Component:
    known = {made.reference: made for made in (toy.SPLIT, toy.PREDICT)} | changed
    return known.get(reference) or component(reference)


def job(find: Any = find, **tasks: Any) -> BoundJob:
    roles = {"guest": ["a"], "host": ["b", "c"]}
    document = {"schema": 1, "name": "cut", "initiator": "a", "roles": roles, "tasks": tasks}
    spec = parse_job(json.dumps(document).encode())
    return BoundJob(spec, *bind(spec, find))


def bound(find: Any = find, **tasks: Any) -> dict[str, BoundTask]:
    made = job(find, **tasks)
    assert made.problems == []
    return made.tasks


def fitted(name: str) -> Component:
    """`scale` applied without a model of its own, so that hosts alone may use it."""
    return replace(find(name), check=None)


def test_the_rows_of_tables_are_told_where_a_component_asks_for_them() -> None:
    tasks = bound(split=SPLIT)
    assert told_places(tasks) == {("split", address, "data") for address in ROWS}
    known = with_rows(tasks, {("split", address, "data"): count for address, count in ROWS.items()})
    assert known["split"].rows == {"data": ROWS}
    assert told_places(bound(scale=SCALE | {"roles": ["host"]}, find=fitted)) == frozenset()


def test_of_a_table_that_a_task_makes_the_rows_are_told_that_it_is_made_of() -> None:
    tasks = bound(find=fitted, scale=SCALE, split=AFTER)
    places = {("split", A, "data"): 60, ("scale", B, "data"): 61, ("scale", C, "data"): 70}
    assert told_places(tasks) == places.keys()
    known = with_rows(tasks, places)
    assert (known["split"].rows, known["scale"].rows) == ({"data": ROWS}, {})
    assert unknown_rows(tasks) == []


def test_a_table_of_which_nobody_knows_how_many_rows_it_will_have_is_a_problem_of_the_job() -> None:
    def silent(name: str) -> Component:
        made = fitted(name)
        return replace(made, outputs={key: replace(port, rows_of="") for key, port in made.outputs.items()})

    problems = unknown_rows(bound(find=silent, scale=SCALE, split=AFTER))
    assert [problem.path for problem in problems] == ["tasks.split.inputs.data"] * 2
    assert "how many rows the table of 'host:b' will have" in problems[0].message


# -- what is signed ----------------------------------------------------------------------------------------------------
def knowledge(party: str, model: ModelFacts | None = None) -> Knowledge:
    roles = {"a": TableRoles(id="id", label="y")}.get(party, TableRoles(id="id"))
    rows = {address.party: count for address, count in ROWS.items()}[party]
    tables = {f"cut/{name}": TableFacts(f"cut/{name}@1", rows, roles=roles) for name in ("labels", "columns")}
    policy = PolicySettings(accept=Decision.AGREE, min_protection="plain")
    models = {f"{JOB}/split.model": model or ModelFacts(f"{JOB}/split.model", holders=frozenset("abc"))}
    return Knowledge(party, policy, datetime(2026, 5, 1, tzinfo=UTC), tables, models)


def proposal(of: BoundJob) -> Proposal:
    code = {task.component.reference: task.component.code_digest for task in of.tasks.values()}
    return Proposal(
        job=JOB, initiator="a", user="ann", spec=of.spec.document(), spec_digest=of.spec.digest(), seed="5" * 64,
        code=code, api=OUR_API, submitted_ms=1,
    )  # fmt: skip


def answer(of: BoundJob, party: str, model: ModelFacts | None = None) -> Answer:
    return decide(proposal(of), of, knowledge(party, model)).answer


def manifest(of: BoundJob, **changed: Answer) -> Manifest:
    answers = {party: answer(of, party) for party in "abc"} | changed
    return make_manifest(proposal(of), (SignedAnswer(answer=each, signature="00") for each in answers.values()))


def test_a_party_signs_its_rows_where_they_are_asked_for_and_nowhere_else() -> None:
    [brought] = answer(job(split=SPLIT), "b").tables["split"]["host:b"].values()
    assert brought == BroughtTable(reference="cut/columns@1", roles=TableRoles(id="id"), rows=61)
    silent = replace(toy.SPLIT, inputs={"data": replace(toy.DATA, tells_rows=False)})
    text = answer(job(lambda _: silent, split=SPLIT), "b").model_dump_json(by_alias=True)
    assert "rows" not in text
    assert not re.search(r"\b61\b", text)


def test_a_contract_says_whose_key_and_how_large_in_plain_numbers() -> None:
    of = job(split=SPLIT)
    lines = {line.tag: line for line in contract_for(manifest(of), settled(manifest(of), of.tasks), "b").tasks["split"]}
    assert (lines["labels"].max_bytes, lines["key"].max_bytes) == (70 * 256 + toy.ROOM, toy.ROOM)
    assert lines["labels"].key_owners == lines["sums"].key_owners == {"guest:a"}
    assert lines["key"].key_owners is None


def test_a_manifest_that_lacks_rows_or_has_them_from_somebody_else_does_not_settle_the_job() -> None:
    of, mine = job(split=SPLIT), answer(job(split=SPLIT), "b")
    [brought] = mine.tables["split"]["host:b"].values()
    untold = {"split": {"host:b": {"data": brought.model_copy(update={"rows": None})}}}
    for_us = {"split": {at: {"data": brought} for at in ("host:b", "host:c")}}
    lacking = mine.model_copy(update={"tables": untold})
    other = answer(of, "c")
    for answers in ({"b": lacking}, {"b": lacking, "c": other.model_copy(update={"tables": other.tables | for_us})}):
        with pytest.raises(ManifestMismatch, match=r"tasks\.split\.inputs\.data: b does not tell how many rows"):
            settled(manifest(of, **answers), of.tasks)


def test_no_row_count_makes_a_message_larger_than_any_may_be() -> None:
    line = Line("x", toy.GUEST, toy.HOST, Kind.ARRAY, toy.room, Protection.PLAIN, "Numbers.")
    assert line.most_bytes({"data": {A: 1 << 52}}) == MOST_BYTES


@pytest.mark.parametrize(
    ("key_of", "owners"),
    [
        (End.SENDER, {"host:b": {"host:b"}, "host:c": {"host:c"}}),
        (Role.HOST, {"host:b": {"host:b", "host:c"}, "host:c": {"host:b", "host:c"}}),
        (Role.ARBITER, {"host:b": set(), "host:c": set()}),  # nobody has such a key
        (None, {"host:b": None, "host:c": None}),
    ],
)
def test_a_key_is_that_of_an_end_or_of_anybody_of_a_role(key_of: Any, owners: dict[str, set[str] | None]) -> None:
    for frm, to in ((toy.HOST, toy.GUEST), (toy.GUEST, toy.HOST)):
        whose = End.RECEIVER if key_of is End.SENDER and to == toy.HOST else key_of
        line = Line("x", frm, to, Kind.CIPHERTEXTS, 9, Protection.ENCRYPTED, "Sums.", key_of=whose)
        of = job(lambda _, line=line: replace(toy.SPLIT, conversation=lambda _: (line,)), split=SPLIT)
        contract = contract_for(manifest(of), settled(manifest(of), of.tasks), "a")
        for host, expected in owners.items():
            ends = (host, "guest:a") if frm == toy.HOST else ("guest:a", host)
            assert contract.line("split", "x", *ends).key_owners == expected


def test_only_what_is_encrypted_is_under_a_key() -> None:
    with pytest.raises(ValueError, match="'x' holds no ciphertexts"):
        Line("x", toy.HOST, toy.GUEST, Kind.ARRAY, 9, Protection.PLAIN, "Sums.", key_of=Role.GUEST)


def test_an_arbiter_under_whose_key_numbers_are_said_sees_them() -> None:
    arbiter = frozenset({Role.ARBITER})
    for key_of, sees in ((Role.ARBITER, "abcd"), (End.RECEIVER, "abcd"), (End.SENDER, "abc"), (None, "abc")):
        line = Line("x", toy.HOST, arbiter, Kind.CIPHERTEXTS, 9, Protection.ENCRYPTED, "Sums.", key_of=key_of)
        roles = toy.SPLIT.roles | {Role.ARBITER: RoleSpec(toy.host)}
        made = replace(toy.SPLIT, conversation=lambda _, line=line: (line,), roles=roles)
        task = bound(lambda _, made=made: made, split=SPLIT)["split"]
        task = replace(task, sides={**task.sides, Address.parse("arbiter:d"): task.sides[B]})
        assert who_sees({"split": task}) == frozenset(sees)


# -- what is shown -----------------------------------------------------------------------------------------------------
def view(of: BoundJob, party: str = "b", model: ModelFacts | None = None) -> ProposalView:
    know = knowledge(party, model)
    return proposal_view(proposal(of), of, know, decide(proposal(of), of, know), waits=True)


def test_a_person_sees_that_rows_are_told_whose_key_it_is_and_that_a_size_follows_from_rows() -> None:
    seen = view(job(split=SPLIT))
    assert [(item.address, item.rows, item.tells_rows) for item in seen.inputs] == [("host:b", 61, True)]
    lines = {line.tag: line for line in seen.conversation}
    assert (lines["labels"].max_bytes, lines["sums"].max_bytes) == (None, toy.ROOM)
    text = "\n".join(proposal_lines(seen))
    for part in (
        "cut/columns@1, 61 rows (all parties are told how many)",
        "[encrypted: only guest:a can read it, under whose key it is; as large as follows from how many rows",
        "; at most 4.0 KiB] (we send)",
    ):
        assert part in text, part
    of = job(split=SPLIT)
    later = {line.tag: line for line in view(of._replace(tasks=settled(manifest(of), of.tasks))).conversation}
    assert later["labels"].max_bytes == 70 * 256 + toy.ROOM


@pytest.mark.parametrize(("kind", "said"), [(toy.KIND, ["side"]), ("", ["side"]), ("linear", [])])
def test_a_person_sees_what_is_said_with_an_earlier_model_of_the_kind_that_we_hold(kind: str, said: list[str]) -> None:
    model = ModelFacts(f"{JOB}/split.model", holders=frozenset("abc"), kind=kind)
    of = job(predict=EARLIER)
    assert [line.tag for line in view(of, model=model).conversation] == said
    answers = {party: answer(of, party, model) for party in "abc"}
    contract = contract_for(manifest(of, **answers), settled(manifest(of, **answers), of.tasks), "a")
    assert [line.tag for line in contract.tasks["predict"]] == said


def test_nobody_signs_another_kind_for_a_model_that_the_job_makes() -> None:
    of = job(split=SPLIT, predict=EARLIER | {"inputs": EARLIER["inputs"] | {"model": "split.model"}})
    lying = answer(of, "c").model_copy(update={"models": {"predict": {"model": "linear"}}})
    assert settled(manifest(of, c=lying), of.tasks)["predict"].models == {"model": toy.KIND}


def test_a_policy_is_asked_about_what_an_earlier_model_makes_a_task_say() -> None:
    of = job(predict=EARLIER)
    for kind, refuses in ((toy.KIND, True), ("linear", False)):
        know = knowledge("b", ModelFacts(f"{JOB}/split.model", holders=frozenset("abc"), kind=kind))
        decided = decide(proposal(of), of, replace(know, policy=PolicySettings(accept=Decision.AGREE)))
        assert any("asks for 'masked' protection" in reason for reason in decided.reasons) == refuses


def test_a_conversation_may_depend_on_the_kind_of_the_model() -> None:
    kinds = {"toy_split": 1, "linear": 0, "": 1}
    for kind, lines in kinds.items():
        assert len(toy.PREDICT.conversation(Terms(toy.Parameters(), models={"model": kind}))) == lines
    of = job(split=SPLIT, predict=EARLIER | {"inputs": EARLIER["inputs"] | {"model": "split.model"}})
    assert of.tasks["predict"].models == {"model": "toy_split"}
    assert job(predict=EARLIER).tasks["predict"].models == {"model": ""}


# -- what an executor is told ------------------------------------------------------------------------------------------
def test_an_executor_decides_on_the_terms_that_the_job_was_bound_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Terms[Any]] = []
    made = replace(toy.PREDICT, check=lambda terms: seen.append(terms))
    of = job(lambda _: made, predict=EARLIER)
    held = answer(of, "b", ModelFacts(f"{JOB}/split.model", holders=frozenset("abc"), kind=toy.KIND))
    told = manifest(of, b=held)
    task = settled(told, of.tasks)["predict"]
    side = next(iter(task.sides))
    name = AttemptId(JobId(JOB), TaskName("predict"), 1)
    order = order_for(told, task, side, name, Launch(gateway="", store="", token="", incarnation=1))
    monkeypatch.setattr(executor, "find_component", lambda _: made)
    seen.clear()
    executor._checked(order)
    assert seen == [task.terms_of(task.sides[side])]
    assert (seen[0].models, seen[0].rows) == ({"model": toy.KIND}, {"data": ROWS})
