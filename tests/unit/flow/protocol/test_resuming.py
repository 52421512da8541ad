"""Going on from an earlier job: its document, what may go on, and the point that every party finds alike."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from flow.errors import JobInvalid
from flow.job.binding import BoundTask, bind
from flow.job.spec import parse_job
from flow.participant.launch import Launch, order_for
from flow.protocol.manifest import OUR_API, make_manifest, proposal_digest, signed_bytes
from flow.protocol.messages import Answer, Decision, KeptSteps, Manifest, Proposal, SignedAnswer
from flow.protocol.resuming import came_further, goes_on, resume_point, resumed
from node_manager.client import ResumePoint
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.canonical import canonical_digest
from tests.fakes.flow_world import COMPONENTS, component, train_job

OLD = "01M84NKVCS9025W7T6P1XBY3P8"
NEWER = "01M84NKVCS9025W7T6P1XBY3P9"
JOB = "01M84NKVCS9025W7T6P1XBY3PA"


def tasks_of(document: dict) -> dict[str, BoundTask]:
    return bind(parse_job(json.dumps(document).encode()), component)[0]


SPEC = parse_job(json.dumps(train_job(resume=NEWER)).encode())
TASKS = bind(SPEC, component)[0]
PROPOSAL = Proposal(
    job=JOB, initiator="a", user="ann", spec=SPEC.document(), spec_digest=SPEC.digest(), seed="5" * 64,
    code={c.reference: c.code_digest for c in COMPONENTS.values()}, api=OUR_API, submitted_ms=1,
)  # fmt: skip
SIDES = {"a": "guest:a", "b": "host:b", "c": "arbiter:c"}


def kept(address: str, *steps: int, job: str = NEWER, attempt: int = 1, task: str = "train") -> KeptSteps:
    return KeptSteps(job=job, task=task, attempt=attempt, address=address, steps=steps)


def answer(party: str, checkpoints: Iterable[KeptSteps] = ()) -> Answer:
    digest = proposal_digest(PROPOSAL)
    return Answer(
        api=OUR_API,
        job=JOB,
        party=party,
        proposal_digest=digest,
        decision=Decision.AGREE,
        checkpoints=tuple(checkpoints),
    )


def manifest(**offers: list[KeptSteps]) -> Manifest:
    signed = [SignedAnswer(answer=answer(party, offers.get(party, ())), signature="00") for party in SIDES]
    return make_manifest(PROPOSAL, signed)


def point(**offers: list[KeptSteps]) -> ResumePoint | None:
    return resume_point(manifest(**offers), TASKS["train"])


# -- the point -------------------------------------------------------------------------------------------------------
def test_a_task_goes_on_from_the_last_step_that_every_address_has() -> None:
    found = point(a=[kept("guest:a", 4, 5)], b=[kept("host:b", 5, 6)], c=[kept("arbiter:c", 4, 5, 6)])
    assert found == ResumePoint(job=NEWER, attempt=1, step=5)


def test_without_a_step_that_all_share_it_starts_afresh() -> None:
    assert point() is None
    assert point(a=[kept("guest:a", 1, 2)], b=[kept("host:b", 3, 4)], c=[kept("arbiter:c", 2, 3)]) is None
    assert point(a=[kept("guest:a", 1, 2)], b=[kept("host:b", 1, 2)]) is None
    other = [kept(SIDES[party], 1, task="score") for party in "abc"]
    assert point(a=other[:1], b=other[1:2], c=other[2:]) is None


def test_the_attempt_that_got_furthest_counts_and_of_two_the_later() -> None:
    offers = {p: [kept(s, 7, 8), kept(s, 2, 3, attempt=2), kept(s, *range(9 * (p == "a")), attempt=3)]
              for p, s in SIDES.items()}  # fmt: skip
    assert point(**offers) == ResumePoint(job=NEWER, attempt=1, step=8)
    both = {p: [*offers[p], kept(s, 8, attempt=4)] for p, s in SIDES.items()}
    assert point(**both) == ResumePoint(job=NEWER, attempt=4, step=8)


def test_a_job_that_never_got_to_a_checkpoint_leads_to_the_one_that_it_went_on_from() -> None:
    offers = {p: [kept(s, 7, 8, job=OLD)] for p, s in SIDES.items()}
    assert point(**offers) == ResumePoint(job=OLD, attempt=1, step=8)
    newer = {p: [*offers[p], kept(s, 9)] for p, s in SIDES.items()}
    assert point(**newer) == ResumePoint(job=NEWER, attempt=1, step=9)


def test_a_party_offers_for_its_own_addresses_only() -> None:
    everything = [kept(side, 5) for side in SIDES.values()]
    assert point(a=everything, c=[kept("arbiter:c", 5)]) is None
    assert point(a=everything, b=everything, c=everything) == ResumePoint(job=NEWER, attempt=1, step=5)


@pytest.mark.parametrize(
    ("left", "began", "further"),
    [
        (None, None, False),
        (None, ResumePoint(job=JOB, attempt=1, step=3), False),
        (ResumePoint(job=JOB, attempt=1, step=0), None, True),
        (ResumePoint(job=JOB, attempt=1, step=3), ResumePoint(job=JOB, attempt=1, step=3), False),
        (ResumePoint(job=JOB, attempt=2, step=3), ResumePoint(job=JOB, attempt=1, step=3), False),
        (ResumePoint(job=JOB, attempt=2, step=4), ResumePoint(job=JOB, attempt=1, step=3), True),
    ],
)
def test_an_attempt_came_further_if_it_left_a_later_step_than_it_began_with(
    left: ResumePoint | None, began: ResumePoint | None, further: bool
) -> None:
    assert came_further(left, began) is further


def test_what_an_earlier_attempt_left_goes_before_what_an_earlier_job_did() -> None:
    agreed = manifest(**{party: [kept(side, 5)] for party, side in SIDES.items()})
    own = ResumePoint(job=JOB, attempt=1, step=7)
    launch = Launch(gateway="sock", store="store", token="secret", incarnation=1, resume=own)
    name = AttemptId(JobId(JOB), TaskName("train"), 2)
    assert order_for(agreed, TASKS["train"], Address.parse("guest:a"), name, launch).resume == own


def test_every_executor_is_told_the_point() -> None:
    agreed = manifest(**{party: [kept(side, 5)] for party, side in SIDES.items()})
    launch = Launch(gateway="sock", store="store", token="secret", incarnation=1)
    for side in SIDES.values():
        name = AttemptId(JobId(JOB), TaskName("train"), 1)
        order = order_for(agreed, TASKS["train"], Address.parse(side), name, launch)
        assert order.resume == ResumePoint(job=NEWER, attempt=1, step=5)
    name = AttemptId(JobId(JOB), TaskName("score"), 1)
    assert order_for(agreed, TASKS["score"], Address.parse("guest:a"), name, launch).resume is None


# -- what may go on --------------------------------------------------------------------------------------------------
def test_a_task_goes_on_from_the_same_component_at_the_same_addresses() -> None:
    other = train_job()
    other["tasks"]["train"]["parameters"] = {"rounds": 9, "secure": "paillier"}
    assert goes_on(tasks_of(other)["train"], TASKS["train"])
    assert not goes_on(TASKS["train"], tasks_of(other)["train"]), "what was hidden then would be shown now"
    other["roles"]["host"] = ["b", "d"]
    assert not goes_on(tasks_of(other)["train"], TASKS["train"])
    other["tasks"]["train"] = {"component": "nothing@1"}
    other["roles"]["host"] = ["b"]
    assert not goes_on(tasks_of(other)["train"], TASKS["train"])


# -- the document ----------------------------------------------------------------------------------------------------
def test_the_job_that_goes_on_is_the_earlier_one_with_other_parameters() -> None:
    earlier = SPEC.document()
    made = resumed(earlier, OLD, {"train": {"secure": "paillier"}})
    assert made["settings"] == {**earlier["settings"], "resume": OLD}
    assert made["tasks"]["train"]["parameters"] == {"rounds": 2, "secure": "paillier"}
    assert made["tasks"]["score"] == earlier["tasks"]["score"]
    assert earlier == SPEC.document()
    assert parse_job(json.dumps(made).encode()).settings.resume == OLD


def test_a_change_of_a_task_that_is_not_there_is_named_with_its_path() -> None:
    with pytest.raises(JobInvalid) as caught:
        resumed(SPEC.document(), OLD, {"trian": {"rounds": 3}, "train": {}})
    [problem] = caught.value.problems
    assert (problem.path, problem.hint) == ("tasks.trian", "Did you mean 'train'?")


# -- documents of before ---------------------------------------------------------------------------------------------
def test_a_job_that_goes_on_from_none_has_the_digest_it_always_had() -> None:
    spec = parse_job(json.dumps(train_job()).encode())
    assert "resume" not in spec.document()["settings"]
    assert spec.digest() == canonical_digest(json.loads(json.dumps(spec.document())))
    assert spec.digest() == "2f3809e9d513686a76fa94e0d3b7d78fef7132e0067223de3a84b9b80c3ed581"


def test_an_answer_is_the_same_after_it_was_sent() -> None:
    for said in (answer("a"), answer("a", [kept("guest:a", 5)])):
        assert Answer.model_validate_json(signed_bytes(said)) == said
    assert signed_bytes(answer("a", [kept("guest:a", 5)])) != signed_bytes(answer("a"))
